"""Forgotten zero_grad: gradients add up over the steps.

`backward()` adds to the gradients that lie in the parameters. Without `zero_grad()` the discriminator steps along the
sum of all gradients so far, and those of the generator's passes are among them.

In JAX a gradient is a return value and nothing remembers it. The mistake there is the opposite one: a step returns the
new state, and a program that drops it trains nothing.

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
    """Trains with a step of one's own."""
    gan = twin()
    losses = [step(gan, to_torch(images)) for images in batches()]
    return {"loss of D": losses, "samples": drawn(gan)}


def imperative_right(gan, images):
    """Zeroes the gradients of both networks before their passes."""
    gan.discriminator_optimizer.zero_grad()
    loss = gan.discriminator_loss(images, gan.draw_latents(len(images)))["discriminator_loss"]
    loss.backward()
    gan.discriminator_optimizer.step()

    gan.generator_optimizer.zero_grad()
    gan.generator_loss(gan.draw_latents(len(images))).backward()
    gan.generator_optimizer.step()
    return loss.item()


def imperative_wrong(gan, images):
    """Zeroes those of the generator only."""
    loss = gan.discriminator_loss(images, gan.draw_latents(len(images)))["discriminator_loss"]
    loss.backward()
    gan.discriminator_optimizer.step()

    gan.generator_optimizer.zero_grad()
    gan.generator_loss(gan.draw_latents(len(images))).backward()
    gan.generator_optimizer.step()
    return loss.item()


def functional(advance):
    """Trains with a way of taking steps."""
    state, losses = start(), []
    for number, images in enumerate(batches()):
        state, metrics = advance(state, images, jax.random.fold_in(jax.random.key(0), number))
        losses.append(metrics["discriminator_loss"])
    return {"loss of D": losses, "samples": samples(state)}


def functional_right(state, images, key):
    """Goes on from the new state."""
    state, metrics = method().step(state, batch(images), key)
    return state, metrics


def functional_wrong(state, images, key):
    """Goes on from the old state."""
    _, metrics = method().step(state, batch(images), key)
    return state, metrics


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
