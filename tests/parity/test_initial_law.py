"""The laws that weights are drawn from before training, against those of ``torch.nn``: their moments and bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imperative.parity import Setting, drawn_weights

from jaxgan import config as configs
from jaxgan.nn.convolution_layers import Conv, ConvTranspose
from jaxgan.nn.dense import Dense
from jaxgan.nn.initializers import lecun
from tests.parity import record

LAWS = np.load(record.FOLDER / "initial_laws.npz")


def assert_same_law(values, law, *, tolerance):
    low, high, mean, deviation, kurtosis = record.summary(np.asarray(values))
    their_low, their_high, _, their_deviation, their_kurtosis = law
    assert (low, high) == pytest.approx((their_low, their_high), rel=tolerance)
    assert abs(mean) < tolerance * deviation
    assert (deviation, kurtosis) == pytest.approx((their_deviation, their_kurtosis), rel=tolerance)


@pytest.mark.parametrize("kind", record.LAYERS)
def test_kernels_and_biases_begin_under_pytorchs_law(kind):
    inputs, features, *kernel = record.LAYERS[kind][1]
    make = {"linear": Dense, "convolution": Conv, "transposed convolution": ConvTranspose}[kind]
    layer = make(features, *[(k, k) for k in kernel])
    example = jnp.zeros((1, *[1 if make is ConvTranspose else k for k in kernel for _ in range(2)], inputs))

    def draw(keys):
        many = jax.vmap(lambda key: layer.init(key, example)["params"]["bias"])(keys)
        return layer.init(keys[0], example)["params"]["kernel"], many

    kernels, biases = jax.jit(draw)(jax.random.split(jax.random.key(0), 20))
    assert_same_law(kernels, LAWS[f"{kind}/weight"], tolerance=0.02)
    assert_same_law(biases, LAWS[f"{kind}/bias"], tolerance=0.05)


def of_fan_in_of_the_inputs():
    return jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=-1, out_axis=-2)


def normal_of_that_deviation():
    return jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "normal")


def stock():
    return lecun().kernel


@pytest.mark.parametrize(
    ("kind", "trap"),
    [("linear", stock), ("convolution", normal_of_that_deviation), ("transposed convolution", of_fan_in_of_the_inputs)],
)
def test_trap_another_initial_law(kind, trap):
    inputs, features, *kernel = record.LAYERS[kind][1]
    last = (features, inputs) if kind == "transposed convolution" else (inputs, features)
    values = trap()(jax.random.key(0), (*kernel, *kernel, *last))
    with pytest.raises(AssertionError):
        assert_same_law(values, LAWS[f"{kind}/weight"], tolerance=0.02)


@pytest.mark.parametrize("kind", record.LAYERS)
def test_torch_still_draws_weights_under_the_law_that_was_recorded(kind):
    pytest.importorskip("torch")
    for part, law in record.law(*record.LAYERS[kind]).items():
        assert law == pytest.approx(LAWS[f"{kind}/{part}"], rel=0.05, abs=1e-3)


@pytest.mark.parametrize("config", [configs.VanillaGAN(), configs.DCGAN(), configs.VAE(ema_decay=0.0)])
def test_every_layer_begins_with_weights_of_the_size_of_its_twins(config):
    pytest.importorskip("torch")
    from imperative.injection import make_twin

    found = drawn_weights(Setting(config, lambda step: np.zeros((1, 28, 28, 1), np.uint8), 0, "float32"))
    theirs = make_twin(config, image_shape=(28, 28, 1)).state_dict()
    for name, weight in found.items():
        expected = theirs[name].numpy()
        if ".norm_" in name:
            np.testing.assert_array_equal(weight, expected)
        elif weight.size >= 100:
            assert np.abs(weight).max() == pytest.approx(np.abs(expected).max(), rel=0.1)
            assert weight.std() == pytest.approx(expected.std(), rel=0.25 if weight.size < 1000 else 0.05)
