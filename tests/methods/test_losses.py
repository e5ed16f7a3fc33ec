import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods import losses
from jaxgan.nn import noise

REAL, FAKE = jnp.array([-2.0, 0.0, 3.0]), jnp.array([1.0, -0.5, 0.25])
LOSSES = [
    losses.non_saturating,
    losses.minimax,
    losses.least_squares,
    losses.hinge,
    losses.relativistic,
    losses.wasserstein,
]


def in_words(name, real, fake):
    """Each loss's terms and the generator's loss as its paper writes them, from probabilities, in float64."""
    r, f = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    dr, df = 1 / (1 + np.exp(-r)), 1 / (1 + np.exp(-f))
    pair = 1 / (1 + np.exp(-(r - f)))
    return {
        "non_saturating": ({"real": -np.log(dr), "fake": -np.log(1 - df)}, -np.log(df)),
        "minimax": ({"real": -np.log(dr), "fake": -np.log(1 - df)}, np.log(1 - df)),
        "least_squares": ({"real": (r - 1) ** 2 / 2, "fake": f**2 / 2}, (f - 1) ** 2 / 2),
        "hinge": ({"real": np.maximum(0, 1 - r), "fake": np.maximum(0, 1 + f)}, -f),
        "relativistic": ({"pair": -np.log(pair)}, -np.log(1 - pair)),
        "wasserstein": ({"real": -r, "fake": f}, -f),
    }[name]


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_is_what_its_paper_writes(loss):
    terms, generator = in_words(loss.__name__, REAL, FAKE)
    found = loss().discriminator(REAL, FAKE)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: value.mean() for name, value in terms.items()}, rel=1e-6
    )
    assert loss().generator(REAL, FAKE) == pytest.approx(generator.mean(), rel=1e-6)


def test_the_wasserstein_estimate_is_the_distance_of_the_mean_logits():
    assert losses.wasserstein().metrics(REAL, FAKE)["wasserstein_estimate"] == pytest.approx(1 / 3 - 0.25)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_gradients_are_finite_for_huge_logits(loss, dtype):
    @jax.jit
    def everything(real, fake):
        losses_of = [lambda r, f: sum(loss().discriminator(r, f).values()), loss().generator]
        return [jax.value_and_grad(each, (0, 1))(real, fake) for each in losses_of], loss().metrics(real, fake)

    sizes = jnp.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype)
    real, fake = (each.reshape(-1) for each in jnp.meshgrid(sizes, sizes))
    found = jax.tree.leaves(everything(real, fake))
    assert all(np.all(np.isfinite(np.asarray(leaf, np.float32))) for leaf in found)


def test_only_the_paired_generator_loss_needs_real_logits():
    assert [loss.__name__ for loss in LOSSES if loss().paired] == ["relativistic"]
    for loss in (loss for loss in LOSSES if not loss().paired):
        assert loss().generator(None, FAKE) == loss().generator(REAL, FAKE)


def test_cross_entropy_sums_nats_over_pixels_and_never_overflows():
    logits, pixels = jnp.full((2, 2, 1, 1), math.log(3)), jnp.array([1.0, 0.25, 0.0, 0.0]).reshape(2, 2, 1, 1)
    p = 3 / 4
    by_hand = [-math.log(p) - 0.25 * math.log(p) - 0.75 * math.log(1 - p), -2 * math.log(1 - p)]
    np.testing.assert_allclose(losses.cross_entropy(logits, pixels), by_hand, rtol=1e-6)
    np.testing.assert_allclose(
        losses.cross_entropy(jnp.array([1e4, -1e4]).reshape(1, 2, 1, 1), jnp.ones((1, 2, 1, 1))), [1e4]
    )


def test_binarized_pixels_are_1_with_the_pixel_as_probability():
    images = jnp.linspace(-1, 1, 5).reshape(1, 1, 5, 1).repeat(20_000, axis=0)
    drawn = np.asarray(losses.binarize(images, noise.random_bits(jax.random.key(0), jnp.arange(20_000), count=5)))
    assert set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn.mean(axis=0).ravel(), [0, 0.25, 0.5, 0.75, 1], atol=0.02)
    np.testing.assert_array_equal(drawn.mean(axis=0).ravel()[[0, -1]], [0, 1])  # what is sure stays so


def test_pixels_and_images_are_two_scales_of_the_same_values():
    images = jnp.linspace(-1, 1, 5).reshape(1, 1, 5, 1)
    np.testing.assert_allclose(losses.to_pixels(images).ravel(), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(losses.to_images(losses.to_pixels(images)), images)
    np.testing.assert_allclose(losses.to_images(jnp.array([-0.5, 1.5]).reshape(1, 1, 2, 1)).ravel(), [-1, 1])


def test_squared_error_is_a_mean_over_the_pixels_of_each_image():
    restored, pixels = jnp.zeros((2, 1, 2, 1)), jnp.array([[1.0, 0.0], [1.0, 2.0]]).reshape(2, 1, 2, 1)
    np.testing.assert_allclose(losses.squared_error(restored, pixels), [0.5, 2.5])
