import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods import penalties
from jaxgan.nn import noise

KEY = jax.random.key(0)
SHAPE = (2, 3, 2)
SLOPE = jnp.arange(1.0, 13.0).reshape(SHAPE) / 10
REAL, FAKE = jax.random.normal(KEY, (5, *SHAPE)), jax.random.normal(jax.random.key(1), (5, *SHAPE))


def linear(images):
    """A critic whose gradient is SLOPE at every image."""
    return jnp.sum(images * SLOPE, axis=(1, 2, 3))


def quadratic(images):
    """A critic whose gradient is the image."""
    return jnp.sum(images**2, axis=(1, 2, 3)) / 2


def random_bits(penalty):
    return noise.random_bits(KEY, jnp.arange(5), count=penalty.bits(12))


ALL = [penalties.r1(2.0), penalties.r2(2.0), penalties.gradient_penalty(3.0), penalties.dragan(3.0)]


def value(penalty, critic, real=REAL, fake=FAKE):
    return jax.jit(lambda real, fake, bits: penalty.value(critic, real, fake, bits))(real, fake, random_bits(penalty))


def test_penalties_of_a_linear_critic_are_those_of_its_gradient():
    squared = float(np.sum(np.asarray(SLOPE, np.float64) ** 2))
    for zero_centred in (penalties.r1(4.0), penalties.r2(4.0)):
        assert value(zero_centred, linear) == pytest.approx(2 * squared, rel=1e-5)
    for one_centred in (penalties.gradient_penalty(10.0), penalties.dragan(10.0)):
        assert value(one_centred, linear) == pytest.approx(10 * (squared**0.5 - 1) ** 2, rel=1e-5)


def test_each_penalty_is_taken_at_the_images_of_its_paper():
    squares = lambda images: np.sum(np.asarray(images, np.float64) ** 2, axis=(1, 2, 3))
    assert value(penalties.r1(1.0), quadratic) == pytest.approx(squares(REAL).mean() / 2, rel=1e-5)
    assert value(penalties.r2(1.0), quadratic) == pytest.approx(squares(FAKE).mean() / 2, rel=1e-5)
    bits = noise.random_bits(KEY, jnp.arange(5), count=1)
    share = np.asarray((noise.uniform(bits) + 1) / 2, np.float64)[:, :, None, None]
    between = (1 - share) * REAL + share * FAKE
    expected = 10 * np.mean((np.sqrt(squares(between)) - 1) ** 2)
    assert value(penalties.gradient_penalty(10.0), quadratic) == pytest.approx(expected, rel=1e-5)
    around = REAL + 0.5 * noise.normal(random_bits(penalties.dragan(1.0))).reshape(REAL.shape)
    expected = np.mean((np.sqrt(squares(around)) - 1) ** 2)
    assert value(penalties.dragan(1.0), quadratic) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("penalty", [penalties.gradient_penalty(10.0), penalties.dragan(10.0)])
def test_the_gradient_is_finite_where_the_critic_is_flat(penalty):
    flat = lambda scale: value(penalty, lambda images: jnp.sum(scale * images**2, axis=(1, 2, 3)))
    assert flat(0.0) == pytest.approx(10)
    assert np.isfinite(jax.grad(flat)(0.0))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
def test_penalties_and_gradients_are_finite_for_huge_logits(penalty, dtype):
    real, fake, bits = REAL.astype(dtype), FAKE.astype(dtype), random_bits(penalty)

    @jax.jit
    @jax.value_and_grad
    def of(scale):
        critic = lambda images: scale * jnp.sum(images * SLOPE.astype(dtype), axis=(1, 2, 3))
        return penalty.value(critic, real, fake, bits)

    for scale in (1e4, -1e4, 1e-4):
        assert np.all(np.isfinite(np.asarray(of(jnp.asarray(scale, dtype)), np.float32)))


@pytest.mark.parametrize("penalty", ALL, ids=lambda penalty: penalty.name)
def test_the_gradient_of_a_penalty_is_the_numerical_one(penalty):
    with jax.enable_x64(True):
        real, fake, w = (jnp.asarray(x, jnp.float64) for x in (REAL, FAKE, SLOPE))

        @jax.jit
        def of(scale):
            critic = lambda images: jnp.sum(jnp.tanh(images * w * scale), axis=(1, 2, 3))
            return value(penalty, critic, real, fake)

        step = 1e-5
        numerical = (of(1.3 + step) - of(1.3 - step)) / (2 * step)
        assert jax.grad(of)(1.3) == pytest.approx(float(numerical), rel=1e-6)
