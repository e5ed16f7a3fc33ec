"""Forgotten detach: the discriminator's loss reaches the generator.

The discriminator needs generated images, not the autograd graph that made them. Without `detach()`, its backward pass
leaves a gradient in the generator. The generator then also steps towards images that are easier to reject.

In JAX, the gradient of the discriminator's loss is taken with respect to the discriminator's parameters only. So images
that are generated inside of the loss give the same gradient.

Run:  python experiments/studies/design/hazards/forgotten_detach.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # experiments/

import jax
import optax
from imperative.requirements import torch
from studies.design.hazards import (
    FUNCTIONAL,
    IMPERATIVE,
    LATENT_SIZE,
    Pair,
    batches,
    drawn,
    method,
    show,
    start,
    to_torch,
    twin,
)

from jaxgan.methods.losses import fake_loss, real_loss


def imperative(generate):
    """Trains with both `zero_grad()` at the start of the step."""
    gan, strays = twin(), []
    for images in map(to_torch, batches()):
        gan.discriminator_optimizer.zero_grad()
        gan.generator_optimizer.zero_grad()
        real, fake = gan.discriminator(images), gan.discriminator(generate(gan, len(images)))
        (gan.criterion(real, torch.ones_like(real)) + gan.criterion(fake, torch.zeros_like(fake))).backward()
        strays.append(sum(p.grad.norm().item() for p in gan.generator.parameters() if p.grad is not None))
        gan.discriminator_optimizer.step()
        gan.generator_loss(gan.draw_latents(len(images))).backward()
        gan.generator_optimizer.step()
    return {"gradient in G from D's loss": strays, "samples": drawn(gan)}


def imperative_right(gan, count):
    """Generates images for the discriminator, without their graph."""
    return gan.generator(gan.draw_latents(count)).detach()


def imperative_wrong(gan, count):
    """Generates images with their graph."""
    return gan.generator(gan.draw_latents(count))


def functional(gradient):
    """Trains the discriminator with a function that takes its gradient, against a fixed generator."""
    adam, generator, params, losses = optax.adam(1e-3), start().generator.params, start().discriminator.params, []

    @jax.jit
    def step(params, opt_state, images, number):
        latents = jax.random.uniform(jax.random.key(number), (len(images), LATENT_SIZE), minval=-1)
        loss, gradients = gradient(params, generator, images, latents)
        updates, opt_state = adam.update(gradients, opt_state)
        return optax.apply_updates(params, updates), opt_state, loss

    opt_state = jax.jit(adam.init)(params)
    for number, images in enumerate(batches()):
        params, opt_state, loss = step(params, opt_state, images, number)
        losses.append(loss)
    return {"loss of D": losses}


def functional_right(params, generator, images, latents):
    """Generates images outside of the differentiated function."""
    fake = apply("generator", generator, latents)

    def loss(params):
        return real_loss(apply("discriminator", params, images)) + fake_loss(apply("discriminator", params, fake))

    return jax.value_and_grad(loss)(params)


def functional_wrong(params, generator, images, latents):
    """Generates images inside of the differentiated function, without stopping gradients."""

    def loss(params):
        fake = apply("generator", generator, latents)
        return real_loss(apply("discriminator", params, images)) + fake_loss(apply("discriminator", params, fake))

    return jax.value_and_grad(loss)(params)


def apply(network, params, inputs):
    """Applies one of the two networks."""
    return method().networks[network].module.apply({"params": params}, inputs)


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
