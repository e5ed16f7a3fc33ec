from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn

from jaxgan.errors import UserError
from jaxgan.methods import losses, penalties
from jaxgan.runs import fingerprint
from tests.runs.test_own_methods import DISCRIMINATOR, GENERATOR, SHAPE, Generator, own


class Returns(nn.Module):
    """A network whose outputs are made into something else."""

    network: nn.Module
    change: Callable[[jax.Array], Any]

    @nn.compact
    def __call__(self, inputs, *, train=False):
        return self.change(self.network(inputs))


NOT_FLOATS = [lambda x: x.astype(int), lambda x: x > 0, lambda x: x.astype(complex), lambda x: (x, x), lambda x: None]


@pytest.mark.parametrize("change", NOT_FLOATS)
def test_networks_that_return_no_array_of_floats_are_refused(change):
    for networks, words in (
        ((Returns(GENERATOR, change), DISCRIMINATOR), "generator: its images are"),
        ((GENERATOR, Returns(DISCRIMINATOR, change)), "discriminator: its logits are"),
    ):
        with pytest.raises(UserError, match=f"{words} .*, they must be one array of floats"):
            fingerprint.fingerprint(own(*networks), image_shape=SHAPE, batch_size=4)


class Empty(nn.Module):
    def __call__(self, latents, *, train=False):
        return jnp.zeros((len(latents), *SHAPE))


class Dropout(nn.Module):
    @nn.compact
    def __call__(self, latents, *, train=False):
        return Generator()(nn.Dropout(0.5, deterministic=not train)(latents))


class NoMode(nn.Module):
    @nn.compact
    def __call__(self, latents):
        return Generator()(latents)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: own(NoMode()), r"generator: its __call__ must take \(inputs, \*, train\)"),
        (lambda: own(classes=3), r"generator: its __call__ must take \(inputs, labels, \*, train\)"),
        (lambda: own(5), "generator: 5 is not allowed, it must be an instance of a Linen module"),
        (lambda: own(Generator), "generator: .* is not allowed, it must be an instance"),
        (lambda: own(discriminator_optimizer=None), "discriminator_optimizer=: None is not allowed"),
        (lambda: own(critic_steps=0), "critic_steps=: 0 is not allowed, it must be an integer of at least 1"),
        (lambda: own(penalty_every=0.5), "penalty_every=: 0.5 is not allowed"),
        (lambda: own(latent_size="3"), "latent_size=: '3' is not allowed"),
        (lambda: own(accumulate=0), "accumulate=: 0 is not allowed, it must be an integer of at least 1"),
        (lambda: own(prior="normal"), r"prior=: 'normal' is not allowed, give for example noise.PRIORS\['normal'\]"),
        (lambda: own(loss=losses.hinge), r"loss=: .* is not allowed, give for example losses.hinge\(\)"),
        (lambda: own(penalties=penalties.r1(0.1)), r"penalties=: .* give for example \(penalties.r1\(0.1\),\)"),
        (lambda: own(ema_decay=1.5), "ema_decay=: 1.5 is not allowed, it must be at least 0 and below 1"),
        (lambda: own(truncation=2), "truncation=: 2 is not allowed, it must be at least 0 and at most 1"),
        (lambda: own(generator_optimizer=optax.lbfgs()), "optimizer: it needs more than gradients and parameters"),
        (lambda: own(Empty()), "a network of a GAN has no parameters"),
        (lambda: own(Dropout()), "method=: a network asks for rngs, but a GAN passes none"),
    ],
)
def test_a_gan_of_what_is_no_network_is_refused(make, words):
    with pytest.raises(UserError, match=f"^{words}"):
        fingerprint.fingerprint(make(), image_shape=SHAPE, batch_size=4)
