"""Reused key: noise that should be fresh is that of another step.

A key gives the same numbers whenever it is used. A step that draws from the run's key, and not from one of its own,
shows the networks the same latents and drops the same units in all steps.

In PyTorch a seed does it: a look that calls `manual_seed` to see the same samples each time also sends training back
to the start of its stream.

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
    """Trains, and looks at samples from the same latents from time to time."""
    gan, losses = twin(), []
    for step, images in enumerate(batches()):
        losses.append(gan.train_step(to_torch(images), step)["discriminator_loss"].item())
        if (step + 1) % LOOK_EVERY == 0:
            look(gan)
    return {"loss of D": losses, "samples": drawn(gan)}


def imperative_right(gan):
    """Seeds a stream beside that of training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return gan.sample(16)


def imperative_wrong(gan):
    """Seeds the stream of training."""
    torch.manual_seed(0)
    return gan.sample(16)


def functional(advance):
    """Trains with a way of choosing the key of a step."""
    state, losses = start(), []
    for step, images in enumerate(batches()):
        state, metrics = advance(state, batch(images), jax.random.key(0), step)
        losses.append(metrics["discriminator_loss"])
    return {"loss of D": losses, "samples": samples(state)}


def functional_right(state, examples, key, step):
    """Folds the step's number into the run's key."""
    key = jax.random.fold_in(key, step)
    return method().step(state, examples, key)


def functional_wrong(state, examples, key, step):
    """Draws from the run's key in each step."""
    return method().step(state, examples, key)


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
