"""Shared random stream: an innocent draw changes all later random numbers.

PyTorch draws from one global stream. A look at one sample takes numbers from it, and training goes on with others: a
run that looks cannot be compared with one that does not.

A chain of keys that is split at each use is the same stream by hand. A key that is folded from the step's number has
no history, and this package makes every key like that.

Run:  python experiments/studies/design/hazards/shared_random_stream.py
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
    """Trains, and looks at one sample from time to time."""
    gan, losses = twin(), []
    for step, images in enumerate(batches()):
        losses.append(gan.train_step(to_torch(images), step)["discriminator_loss"].item())
        if (step + 1) % LOOK_EVERY == 0:
            look(gan)
    return {"loss of D": losses, "samples": drawn(gan)}


def imperative_right(gan):
    """Puts the stream back to where it was."""
    with torch.random.fork_rng(devices=[]):
        return gan.sample(1)


def imperative_wrong(gan):
    """Draws from the stream of training."""
    return gan.sample(1)


def functional(key_of_look):
    """Trains with a chain of keys, and looks at one sample from time to time."""
    state, chain, losses = start(), jax.random.key(0), []
    for step, images in enumerate(batches()):
        chain, key = jax.random.split(chain)
        state, metrics = method().step(state, batch(images), key)
        losses.append(metrics["discriminator_loss"])
        if (step + 1) % LOOK_EVERY == 0:
            chain, key = key_of_look(chain, step)
            method().sample(state, key, 1)
    return {"loss of D": losses, "samples": samples(state)}


def functional_right(chain, step):
    """Folds the step's number into a key of its own."""
    key = jax.random.fold_in(jax.random.key(1), step)
    return chain, key


def functional_wrong(chain, step):
    """Splits a key off the chain of training."""
    chain, key = jax.random.split(chain)
    return chain, key


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
