"""Shared random stream: an unrelated draw changes all later random numbers.

PyTorch draws from one global stream. Drawing a single sample consumes numbers of the stream, and training continues
with different numbers. So a run that draws samples is not comparable with a run that does not.

A chain of keys, split at every use, has the same problem. A key folded from the number of the step has no history; this
package makes all keys this way.

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
    """Trains, and draws one sample every `LOOK_EVERY` steps."""
    gan, losses = twin(), []
    for step, images in enumerate(batches()):
        losses.append(gan.train_step(to_torch(images), step)["discriminator_loss"].item())
        if (step + 1) % LOOK_EVERY == 0:
            look(gan)
    return {"loss of D": losses, "samples": drawn(gan)}


def imperative_right(gan):
    """Restores the state of the stream."""
    with torch.random.fork_rng(devices=[]):
        return gan.sample(1)


def imperative_wrong(gan):
    """Draws from the random stream of training."""
    return gan.sample(1)


def functional(key_of_look):
    """Trains with a chain of keys, and draws one sample every `LOOK_EVERY` steps."""
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
    """Folds the number of the step into a separate key."""
    key = jax.random.fold_in(jax.random.key(1), step)
    return chain, key


def functional_wrong(chain, step):
    """Splits a key from the chain of training."""
    chain, key = jax.random.split(chain)
    return chain, key


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
