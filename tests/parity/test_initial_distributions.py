from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imperative.parity import Setting, drawn_weights

from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.nn.initializers import lecun
from jaxgan.nn.layers import Conv, ConvTranspose, Dense
from tests.parity import record

RECORDED = np.load(record.FOLDER / "initial_laws.npz")


def assert_same_distribution(values, recorded, *, tolerance):
    low, high, mean, deviation, kurtosis = record.summary(np.asarray(values))
    their_low, their_high, _, their_deviation, their_kurtosis = recorded
    assert (low, high) == pytest.approx((their_low, their_high), rel=tolerance)
    assert abs(mean) < tolerance * deviation
    assert (deviation, kurtosis) == pytest.approx((their_deviation, their_kurtosis), rel=tolerance)


@pytest.mark.parametrize("kind", record.LAYERS)
def test_initial_kernels_and_biases_follow_pytorch(kind):
    inputs, features, *kernel = record.LAYERS[kind][1]
    make = {"linear": Dense, "convolution": Conv, "transposed convolution": ConvTranspose}[kind]
    layer = make(features, *[(k, k) for k in kernel])
    example = jnp.zeros((1, *[1 if make is ConvTranspose else k for k in kernel for _ in range(2)], inputs))

    def draw(keys):
        many = jax.vmap(lambda key: layer.init(key, example)["params"]["bias"])(keys)
        return layer.init(keys[0], example)["params"]["kernel"], many

    kernels, biases = jax.jit(draw)(jax.random.split(jax.random.key(0), 20))
    assert_same_distribution(kernels, RECORDED[f"{kind}/weight"], tolerance=0.02)
    assert_same_distribution(biases, RECORDED[f"{kind}/bias"], tolerance=0.05)


scaled = partial(jax.nn.initializers.variance_scaling, 1 / 3, "fan_in")


@pytest.mark.parametrize(
    ("kind", "trap"),
    [
        ("linear", lecun().kernel),
        ("convolution", scaled("normal")),
        ("transposed convolution", scaled("uniform", in_axis=-1, out_axis=-2)),
    ],
)
def test_trap_another_initial_distribution(kind, trap):
    inputs, features, *kernel = record.LAYERS[kind][1]
    last = (features, inputs) if kind == "transposed convolution" else (inputs, features)
    values = trap(jax.random.key(0), (*kernel, *kernel, *last))
    with pytest.raises(AssertionError):
        assert_same_distribution(values, RECORDED[f"{kind}/weight"], tolerance=0.02)


@pytest.mark.parametrize("kind", record.LAYERS)
def test_torch_still_draws_the_recorded_distribution(kind):
    pytest.importorskip("torch")
    for part, found in record.initial_distribution(*record.LAYERS[kind]).items():
        assert found == pytest.approx(RECORDED[f"{kind}/{part}"], rel=0.05, abs=1e-3)


@pytest.mark.parametrize("config", [VanillaGAN(), DCGAN(), VAE(ema_decay=0.0)], ids=lambda config: config.title)
def test_every_layer_starts_with_weights_of_its_twins_size(config):
    pytest.importorskip("torch")
    from imperative.twins import twin_of

    found = drawn_weights(Setting(config, lambda step: np.zeros((1, 28, 28, 1), np.uint8), 0, "float32"))
    theirs = twin_of(config, image_shape=(28, 28, 1)).state_dict()
    for name, weight in found.items():
        expected = theirs[name].numpy()
        if ".norm_" in name:
            np.testing.assert_array_equal(weight, expected)
        elif weight.size >= 100:
            assert np.abs(weight).max() == pytest.approx(np.abs(expected).max(), rel=0.1)
            assert weight.std() == pytest.approx(expected.std(), rel=0.25 if weight.size < 1000 else 0.05)
