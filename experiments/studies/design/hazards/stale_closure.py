"""Stale closure, live snapshot: weights kept from one time are those of another.

`jax.jit` compiles what a function closes over as a constant. A compiled function that takes the weights from around it
draws with those of its first call for ever.

PyTorch has the reverse: `state_dict()` refers to the living parameters. Weights that are kept to go back to train on.

Run:  python experiments/studies/design/hazards/stale_closure.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # experiments/

import copy

import jax
from imperative.requirements import torch
from studies.design.hazards import (
    FUNCTIONAL,
    IMPERATIVE,
    LOOK_EVERY,
    Pair,
    batch,
    batches,
    method,
    show,
    start,
    to_torch,
    twin,
)


def imperative(keep):
    """Keeps the weights of step 10, and draws with them later from the same latents."""
    gan, kept, brightness = twin(), None, []
    latents = gan.draw_latents(64)
    for step, images in enumerate(batches()):
        gan.train_step(to_torch(images), step)
        if step + 1 == LOOK_EVERY:
            kept = keep(gan.generator)
        if kept:
            with torch.no_grad():
                pictures = torch.func.functional_call(gan.generator, kept, latents)
            brightness.append(pictures.mean().item())
    return {"mean pixel, weights of step 10": brightness, "samples": pictures.movedim(1, -1).numpy()}


def imperative_right(generator):
    """Keeps a copy."""
    return copy.deepcopy(generator.state_dict())


def imperative_wrong(generator):
    """Keeps references."""
    return generator.state_dict()


def functional(make_draw):
    """Trains, and draws from the same latents after each step by a function that is compiled once."""
    state, key, brightness = start(), jax.random.key(1), []

    def newest():
        return state

    draw = make_draw(newest)
    for step, images in enumerate(batches()):
        state, _ = method().step(state, batch(images), jax.random.fold_in(jax.random.key(0), step))
        pictures = draw(key)
        brightness.append(pictures.mean())
    return {"mean pixel, newest weights": brightness, "samples": pictures}


def functional_right(newest):
    """The state is an argument of the compiled function."""
    draw = jax.jit(lambda key, state: method().sample(state, key, 64))
    return lambda key: draw(key, newest())


def functional_wrong(newest):
    """The compiled function takes the state from around it."""
    draw = jax.jit(lambda key: method().sample(newest(), key, 64))
    return lambda key: draw(key)


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
