from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods import build
from jaxgan.methods.dcgan import DCGAN
from jaxgan.nn.convnets import ConvDecoder, ConvEncoder, pyramid

KEY = jax.random.key(0)
SHAPE = (28, 28, 1)


def parameters(network):
    """Shapes and types alone: nothing is computed."""
    return jax.eval_shape(network.module.init, KEY, jnp.zeros((1, *network.input_shape)))["params"]


def test_the_pyramid_halves_28_to_14_7_4_and_1():
    geometries = pyramid((28, 28))
    assert [(g.kernel_size[0], g.strides[0], g.padding[0]) for g in geometries] == [
        (4, 2, 1),
        (4, 2, 1),
        (3, 2, 1),
        (4, 1, 0),
    ]


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 64), (28, 20), (6, 5), (4, 4), (9, 3), (33, 65)])
def test_a_pyramid_ends_at_one_pixel_and_its_transpose_restores_sizes(size):
    sizes = [size]
    for geometry in pyramid(size):
        sizes.append(geometry.down(sizes[-1]))
    assert sizes[-1] == (1, 1)
    for geometry, larger, smaller in zip(pyramid(size), sizes, sizes[1:], strict=False):
        assert geometry.up(smaller) == larger


def test_the_networks_have_the_chapters_channels_and_no_biases():
    g, d = map(parameters, build(DCGAN(), image_shape=SHAPE).networks.values())
    kernels = lambda params: {name: p["kernel"].shape for name, p in params.items() if "kernel" in p}
    # [height, width, features, inputs] for the transposed layers, [height, width, inputs, features] for the others.
    assert kernels(g) == {
        "conv_3": (4, 4, 128, 100),
        "conv_2": (3, 3, 64, 128),
        "conv_1": (4, 4, 32, 64),
        "output": (4, 4, 1, 32),
    }
    assert kernels(d) == {
        "conv_0": (4, 4, 1, 32),
        "conv_1": (4, 4, 32, 64),
        "conv_2": (3, 3, 64, 128),
        "output": (4, 4, 128, 1),
    }
    assert not any("bias" in p for name, p in [*g.items(), *d.items()] if not name.startswith("norm"))
    assert {name for name in g if name.startswith("norm")} == {"norm_1", "norm_2", "norm_3"}
    assert {name for name in d if name.startswith("norm")} == {"norm_1", "norm_2"}  # none on the first


@pytest.mark.parametrize("shape", [(32, 32, 3), (64, 64, 1), (6, 5, 2)])
def test_images_of_any_size_and_channels_pass_both_ways(shape):
    (generator, _), (discriminator, _) = build(DCGAN(width=2, latent_size=7), image_shape=shape).networks.values()
    images, _ = jax.eval_shape(generator.init_with_output, KEY, jnp.zeros((3, 7)))
    assert images.shape == (3, *shape)
    logits, _ = jax.eval_shape(discriminator.init_with_output, KEY, images)
    assert logits.shape == (3,)


def test_generated_images_are_bounded_however_large_the_latents():
    generator, _ = build(DCGAN(width=2, latent_size=7), image_shape=(6, 5, 2)).networks["generator"]
    images, _ = jax.jit(generator.init_with_output)(KEY, 1e3 * jax.random.normal(KEY, (3, 7)))
    assert 0.5 < np.abs(images).max() <= 1


def test_without_normalization_each_image_is_computed_alone():
    x = jax.random.normal(KEY, (4, 6, 5, 2))
    for module, inputs in (
        (ConvEncoder(3, width=2, norm="none"), x),
        (ConvDecoder((6, 5, 2), width=2, norm="none"), x[:, 0, 0]),
    ):
        variables = jax.jit(module.init)(KEY, inputs)
        whole = jax.jit(partial(module.apply, train=True))(variables, inputs)
        alone = jax.jit(module.apply)(variables, inputs[:1])
        np.testing.assert_allclose(whole[:1], alone, rtol=1e-5, atol=1e-6)
