"""Stale closure, live snapshot: stored weights are from a different step than expected.

`jax.jit` compiles closed-over values as constants. A compiled function that closes over the weights always uses the
weights of its first call.

PyTorch has the opposite problem: `state_dict()` refers to the live parameters. Weights saved this way to restore them
later continue to train.

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
    """Stores the weights of step 10, and later draws with them from the same latents."""
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
    """Stores a copy."""
    return copy.deepcopy(generator.state_dict())


def imperative_wrong(generator):
    """Stores references."""
    return generator.state_dict()


def functional(make_draw):
    """Trains, and draws from the same latents after each step with a function compiled once."""
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
    """Passes the state to the compiled function as an argument."""
    draw = jax.jit(lambda key, state: method().sample(state, key, 64))
    return lambda key: draw(key, newest())


def functional_wrong(newest):
    """Closes over the state in the compiled function."""
    draw = jax.jit(lambda key: method().sample(newest(), key, 64))
    return lambda key: draw(key)


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
