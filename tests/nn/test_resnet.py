from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgan.methods import build
from jaxgan.methods.residual_gan import ResidualGAN
from jaxgan.nn.bilinear import convolution
from jaxgan.nn.resnet import ResidualBlock, Tower, resize

KEY = jax.random.key(0)


@pytest.mark.parametrize("shape", [(64, 64, 3), (6, 5, 2)])
def test_images_of_any_size_and_channels_pass_both_ways(shape):
    config = ResidualGAN(width=2, max_width=4, latent_size=7, conditional=True)
    (generator, _), (discriminator, _) = build(config, image_shape=shape, classes=3).networks.values()
    images, _ = jax.eval_shape(generator.init_with_output, KEY, jnp.zeros((3, 7)))
    assert images.shape == (3, *shape)
    logits, _ = jax.eval_shape(discriminator.init_with_output, KEY, images, jnp.arange(3))
    assert logits.shape == (3,)


def test_channels_double_up_to_the_most_as_sizes_are_halved():
    assert Tower(width=8, max_width=20).stages((28, 20)) == [((28, 20), 8), ((14, 10), 16), ((7, 5), 20), ((4, 3), 20)]


def test_a_block_starts_as_the_identity():
    x, block = jax.random.normal(KEY, (2, 5, 4, 6)), ResidualBlock(Tower(group_size=3), depth=3)
    y, variables = jax.jit(block.init_with_output)(KEY, x)
    np.testing.assert_array_equal(y, x)
    kernels = {name: (p["kernel"].shape, "bias" in p) for name, p in variables["params"].items()}
    assert kernels == {"expand": ((1, 1, 6, 12), True), "mix": ((3, 3, 3, 12), True), "reduce": ((1, 1, 12, 6), False)}


@pytest.mark.parametrize("depth", [1, 64])
def test_the_branches_of_all_blocks_add_as_much_variance_at_any_depth(depth):
    x = jax.random.normal(KEY, (64, 1, 1, 64))
    block = ResidualBlock(Tower(group_size=128), depth)
    params = jax.jit(block.init)(KEY, x)["params"]
    params["reduce"]["kernel"] = jax.random.normal(KEY, (1, 1, 128, 64)) / np.sqrt(128)
    # One pixel sees the middle of the 3x3 kernel alone, which has a ninth of its variance.
    params["mix"]["kernel"] = 3 * params["mix"]["kernel"]
    branch = jax.jit(block.apply)({"params": params}, x) - x
    assert depth * jnp.var(branch) == pytest.approx(1, rel=0.3)


def test_convolution_in_groups_has_xlas_values_and_second_derivatives():
    x, w, v = (
        jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(2, 5, 4, 6), (3, 3, 2, 9), (2, 5, 4, 9)])
    )
    how = {"padding": [(1, 1), (1, 1)], "dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": 3}
    ours, theirs = (
        partial(convolution, padding=(1, 1), groups=3),
        lambda x, w: lax.conv_general_dilated(x, w, (1, 1), **how),
    )

    @partial(jax.jit, static_argnums=0)
    def derivatives(conv, x, w):
        penalty = lambda x, w: jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(conv(x, w)) * v))(x) ** 2)
        return conv(x, w), jax.grad(penalty, (0, 1))(x, w)

    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
    jax.tree.map(close, derivatives(ours, x, w), derivatives(theirs, x, w))


@pytest.mark.parametrize(("size", "other"), [((4, 4), (7, 8)), ((14, 9), (7, 5))])
def test_resampling_is_jaxs_bilinear_interpolation(size, other):
    x = jax.random.normal(KEY, (2, *size, 3))
    np.testing.assert_allclose(resize(x, other), jax.image.resize(x, (2, *other, 3), "bilinear"), atol=1e-5)
