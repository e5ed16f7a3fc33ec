import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.nn import noise
from jaxgan.nn.mlp import Discriminator, Generator

KEY = jax.random.key(0)
IMAGES = jax.random.uniform(KEY, (8, 6, 5, 1), minval=-1)


@pytest.fixture(scope="module")
def discriminator():
    return Discriminator((12,), dropout_rate=0.5)


@pytest.fixture(scope="module")
def params(discriminator):
    return jax.jit(discriminator.init)(KEY, IMAGES)


@pytest.fixture(scope="module")
def apply(discriminator):
    return jax.jit(discriminator.apply, static_argnames=("train", "method"))


def test_the_generator_is_dense_leaky_relu_dense_tanh():
    generator = Generator((6, 5, 1), (7,), negative_slope=0.3)
    z = jax.random.normal(KEY, (3, 4))
    variables = jax.jit(generator.init)(KEY, z)
    hidden, output = (variables["params"][name] for name in ("hidden_0", "output"))
    h = z @ hidden["kernel"] + hidden["bias"]
    h = np.where(h > 0, h, 0.3 * h)
    expected = np.tanh(h @ output["kernel"] + output["bias"])
    found = jax.jit(generator.apply)(variables, z).reshape(3, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_dropout_drops_in_training_and_never_in_evaluation(discriminator, params, apply):
    nothing = jnp.zeros((len(IMAGES), discriminator.bits_per_example), jnp.uint32)
    bias = params["params"]["output"]["bias"][0]
    evaluated = apply(params, IMAGES, bits=nothing)
    np.testing.assert_array_equal(evaluated, apply(params, IMAGES))
    # Bits of zeros drop every unit, bits of ones none. The kept units are doubled.
    np.testing.assert_allclose(apply(params, IMAGES, train=True, bits=nothing), bias)
    kept = apply(params, IMAGES, train=True, bits=~nothing)
    np.testing.assert_allclose(kept - bias, 2 * (evaluated - bias), rtol=1e-4, atol=1e-6)


def test_a_pair_of_batches_has_the_logits_of_two_passes(discriminator, params, apply):
    bits = noise.random_bits(KEY, jnp.arange(16), count=discriminator.bits_per_example)
    halves, images = jnp.split(bits, 2), (IMAGES, -IMAGES)
    pair = apply(params, *images, real_bits=halves[0], fake_bits=halves[1], method="logits_of_pair")
    for logits, batch, own in zip(pair, images, halves, strict=True):
        np.testing.assert_allclose(logits, apply(params, batch, train=True, bits=own), rtol=1e-4, atol=1e-6)


def test_a_discriminator_without_dropout_takes_no_random_bits():
    assert Discriminator((100,), dropout_rate=0.0).bits_per_example == 0
    assert Discriminator((100, 100), dropout_rate=0.5).bits_per_example == 8
