"""Forgotten zero_grad: gradients accumulate over steps.

`backward()` adds to the gradients stored in the parameters. Without `zero_grad()`, the discriminator steps along the
sum of all gradients so far, including gradients from the generator's passes.

In JAX, a gradient is a return value, so nothing accumulates. The opposite mistake is possible: a step returns the new
state, and a program that drops it does not train.

Run:  python experiments/studies/design/hazards/forgotten_zero_grad.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # experiments/

from studies.design.hazards import (
    FUNCTIONAL,
    IMPERATIVE,
    Pair,
    batch,
    batches,
    drawn,
    jax,
    method,
    samples,
    show,
    start,
    to_torch,
    twin,
)


def imperative(step):
    """Trains with a given step."""
    gan = twin()
    losses = [step(gan, to_torch(images)) for images in batches()]
    return {"loss of D": losses, "samples": drawn(gan)}


def imperative_right(gan, images):
    """Zeroes the gradients of each network before its pass."""
    gan.discriminator_optimizer.zero_grad()
    loss = gan.discriminator_loss(images, gan.draw_latents(len(images)))["discriminator_loss"]
    loss.backward()
    gan.discriminator_optimizer.step()

    gan.generator_optimizer.zero_grad()
    gan.generator_loss(gan.draw_latents(len(images))).backward()
    gan.generator_optimizer.step()
    return loss.item()


def imperative_wrong(gan, images):
    """Zeroes the gradients of the generator only."""
    loss = gan.discriminator_loss(images, gan.draw_latents(len(images)))["discriminator_loss"]
    loss.backward()
    gan.discriminator_optimizer.step()

    gan.generator_optimizer.zero_grad()
    gan.generator_loss(gan.draw_latents(len(images))).backward()
    gan.generator_optimizer.step()
    return loss.item()


def functional(advance):
    """Trains with a function that takes a step."""
    state, losses = start(), []
    for number, images in enumerate(batches()):
        state, metrics = advance(state, images, jax.random.fold_in(jax.random.key(0), number))
        losses.append(metrics["discriminator_loss"])
    return {"loss of D": losses, "samples": samples(state)}


def functional_right(state, images, key):
    """Continues from the new state."""
    state, metrics = method().step(state, batch(images), key)
    return state, metrics


def functional_wrong(state, images, key):
    """Continues from the old state."""
    _, metrics = method().step(state, batch(images), key)
    return state, metrics


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
