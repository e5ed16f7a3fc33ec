import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import DCGAN
from jaxgan.methods.factory import networks
from jaxgan.nn.convolution_layers import Conv, ConvTranspose
from jaxgan.nn.convolutional import Down, Up, ladder
from jaxgan.nn.initializers import lecun

KEY = jax.random.key(0)
SHAPE = (28, 28, 1)


def parameters(module, *inputs):
    return module.init(KEY, *inputs)["params"]


def test_the_chapters_ladder_goes_from_28_to_14_7_4_and_1():
    geometries = ladder((28, 28))
    assert [(g.kernel_size[0], g.strides[0], g.padding[0]) for g in geometries] == [
        (4, 2, 1),
        (4, 2, 1),
        (3, 2, 1),
        (4, 1, 0),
    ]


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (28, 20), (6, 5), (4, 4), (9, 3), (33, 65)])
def test_a_ladder_ends_at_one_pixel_and_its_transpose_comes_back_exactly(size):
    sizes = [size]
    for geometry in ladder(size):
        sizes.append(geometry.down(sizes[-1]))
    assert sizes[-1] == (1, 1)
    for geometry, larger, smaller in zip(ladder(size), sizes, sizes[1:], strict=False):
        assert geometry.up(smaller) == larger


def test_the_chapters_networks_have_its_channels_and_no_biases():
    (generator, _), (discriminator, _) = networks(DCGAN(), image_shape=SHAPE).values()
    g, d = parameters(generator, jnp.zeros((1, 100))), parameters(discriminator, jnp.zeros((1, *SHAPE)))
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
@pytest.mark.parametrize("width", [2, 5])
def test_images_of_any_size_and_channels_pass_both_ways(shape, width):
    config = DCGAN(width=width, latent_size=7)
    (generator, _), (discriminator, _) = networks(config, image_shape=shape).values()
    z = jax.random.normal(KEY, (3, 7))
    images = generator.apply(generator.init(KEY, z), z)
    assert images.shape == (3, *shape)
    assert np.abs(images).max() <= 1
    assert discriminator.apply(discriminator.init(KEY, images), images).shape == (3,)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Conv(5, (4, 3)), (2, 4, 3, 6)),
        (ConvTranspose(5, (4, 3)), (2, 1, 1, 6)),
    ],
)
def test_where_a_kernel_covers_the_image_the_matrix_product_is_the_convolution(layer, x):
    x = jax.random.normal(KEY, x)
    padded = ((0, 0), (0, 1), (0, 1), (0, 0))  # a row and a column more, which the general way has to be taken for
    variables = layer.init(KEY, x)
    y = layer.apply(variables, x)
    general = layer.apply(variables, jnp.pad(x, padded))[:, : y.shape[1], : y.shape[2]]
    np.testing.assert_allclose(y, general, rtol=1e-4, atol=1e-5)


def test_layers_have_pytorchs_values_and_initial_law():
    torch = pytest.importorskip("torch")
    x = jax.random.normal(KEY, (2, 7, 6, 8))
    layers = [
        (Conv(5, (3, 4), (2, 1), (1, 2)), torch.nn.Conv2d(8, 5, (3, 4), (2, 1), (1, 2)), (3, 2, 0, 1)),
        (
            ConvTranspose(5, (3, 4), (2, 3), (1, 0), (1, 2)),
            torch.nn.ConvTranspose2d(8, 5, (3, 4), (2, 3), (1, 0), (1, 2)),
            (3, 2, 0, 1),
        ),
    ]
    for layer, twin, axes in layers:
        params = layer.init(KEY, x)["params"]
        bound = np.abs(twin.weight.detach().numpy()).max()
        assert np.abs(params["kernel"]).max() == pytest.approx(bound, rel=0.02)
        assert np.std(params["kernel"]) == pytest.approx(twin.weight.detach().numpy().std(), rel=0.1)
        assert np.abs(params["bias"]).max() <= bound * 1.02
        twin.weight.data = torch.from_numpy(np.asarray(params["kernel"]).transpose(axes).copy())
        twin.bias.data = torch.from_numpy(np.array(params["bias"]))
        theirs = twin(torch.from_numpy(np.asarray(x).transpose(0, 3, 1, 2).copy())).detach().numpy()
        np.testing.assert_allclose(
            layer.apply({"params": params}, x), theirs.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5
        )


def test_the_dcgan_law_has_deviation_two_hundredths():
    config = DCGAN(initialization="dcgan", bias=True)
    generator, (size,) = networks(config, image_shape=SHAPE)["generator"]
    params = parameters(generator, jnp.zeros((1, size)))
    assert np.std(params["conv_3"]["kernel"]) == pytest.approx(0.02, rel=0.02)
    assert not np.any(params["conv_3"]["bias"])


def test_the_lecun_law_keeps_the_variance_of_a_transposed_layer_by_its_inputs():
    params = ConvTranspose(3, (4, 4), (2, 2), initialization=lecun()).init(KEY, jnp.zeros((1, 5, 5, 64)))["params"]
    assert np.std(params["kernel"]) == pytest.approx((4 * 4 * 64) ** -0.5, rel=0.05)


def test_down_and_up_without_normalization_treat_each_image_alone():
    x = jax.random.normal(KEY, (4, 6, 5, 2))
    for module, inputs in ((Down(3, width=2, norm="none"), x), (Up((6, 5, 2), width=2, norm="none"), x[:, 0, 0])):
        variables = module.init(KEY, inputs)
        whole = module.apply(variables, inputs, train=True)
        np.testing.assert_allclose(whole[:1], module.apply(variables, inputs[:1]), rtol=1e-5, atol=1e-6)
