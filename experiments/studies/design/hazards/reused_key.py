"""Reused key: a step gets the noise of another step instead of new noise.

A key gives the same numbers every time it is used. If every step draws from the run's key instead of its own key, all
steps use the same latents and drop the same units.

In PyTorch, a seed has the same effect: code that calls `manual_seed` to draw the same samples each time also resets the
random stream of training.

Run:  python experiments/studies/design/hazards/reused_key.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # experiments/

import jax
from imperative.requirements import torch
from studies.design.hazards import (
    FUNCTIONAL,
    IMPERATIVE,
    LOOK_EVERY,
    Pair,
    batch,
    batches,
    drawn,
    method,
    samples,
    show,
    start,
    to_torch,
    twin,
)


def imperative(look):
    """Trains, and draws samples from the same latents every `LOOK_EVERY` steps."""
    gan, losses = twin(), []
    for step, images in enumerate(batches()):
        losses.append(gan.train_step(to_torch(images), step)["discriminator_loss"].item())
        if (step + 1) % LOOK_EVERY == 0:
            look(gan)
    return {"loss of D": losses, "samples": drawn(gan)}


def imperative_right(gan):
    """Seeds a separate random stream."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return gan.sample(16)


def imperative_wrong(gan):
    """Seeds the random stream of training."""
    torch.manual_seed(0)
    return gan.sample(16)


def functional(advance):
    """Trains with a function that chooses the key of a step."""
    state, losses = start(), []
    for step, images in enumerate(batches()):
        state, metrics = advance(state, batch(images), jax.random.key(0), step)
        losses.append(metrics["discriminator_loss"])
    return {"loss of D": losses, "samples": samples(state)}


def functional_right(state, examples, key, step):
    """Folds the number of the step into the run's key."""
    key = jax.random.fold_in(key, step)
    return method().step(state, examples, key)


def functional_wrong(state, examples, key, step):
    """Uses the run's key in every step."""
    return method().step(state, examples, key)


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
