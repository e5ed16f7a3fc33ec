"""Forgotten eval(): a network runs in the mode that earlier code has set.

D(x) should be measured with all units of the discriminator. In training mode, dropout drops a random half of its units
for each image, and consumes random numbers of training.

In JAX, the mode is an argument, so a measurement cannot inherit a mode. A call can still forget the argument: without
`train=True`, the discriminator silently trains without dropout.

Run:  python experiments/studies/design/hazards/forgotten_eval_mode.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # experiments/

import jax
import jax.numpy as jnp
import optax
from imperative.requirements import torch
from studies.design.hazards import FUNCTIONAL, IMPERATIVE, Pair, batches, drawn, method, show, start, to_torch, twin

from jaxgan.methods.losses import fake_loss, real_loss
from jaxgan.nn import noise


def imperative(measure):
    """Trains, and measures D(x) on the same images after each step."""
    gan, images, measured = twin(), to_torch(next(batches())), []
    for step, real in enumerate(batches()):
        gan.train_step(to_torch(real), step)
        measured.append(measure(gan, images))
    return {"D(x)": measured, "samples": drawn(gan)}


def imperative_right(gan, images):
    """Turns dropout off, and on again."""
    gan.discriminator.eval()
    with torch.no_grad():
        probability = gan.discriminator(images).sigmoid().mean().item()
    gan.discriminator.train()
    return probability


def imperative_wrong(gan, images):
    """Measures in training mode."""
    with torch.no_grad():
        probability = gan.discriminator(images).sigmoid().mean().item()
    return probability


def functional(logits):
    """Trains the discriminator on spots and on noise."""
    module, params, adam = method().networks["discriminator"].module, start().discriminator.params, optax.adam(1e-3)

    def loss(params, real, key):
        fake = jax.random.uniform(key, real.shape, minval=-1)
        bits = noise.random_bits(key, jnp.arange(2 * len(real)), count=module.bits_per_example)
        real_logits, fake_logits = jnp.split(logits(module, params, jnp.concatenate([real, fake]), bits), 2)
        return real_loss(real_logits) + fake_loss(fake_logits)

    @jax.jit
    def step(params, opt_state, real, number):
        value, gradients = jax.value_and_grad(loss)(params, real, jax.random.key(number))
        updates, opt_state = adam.update(gradients, opt_state)
        return optax.apply_updates(params, updates), opt_state, value

    opt_state, losses = jax.jit(adam.init)(params), []
    for number, real in enumerate(batches()):
        params, opt_state, value = step(params, opt_state, real, number)
        losses.append(value)
    return {"loss of D": losses}


def functional_right(discriminator, params, images, bits):
    """Computes logits in training mode."""
    return discriminator.apply({"params": params}, images, train=True, bits=bits)


def functional_wrong(discriminator, params, images, bits):
    """Computes logits in the default mode."""
    return discriminator.apply({"params": params}, images, bits=bits)


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
