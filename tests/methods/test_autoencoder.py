import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import data
from jaxgan.methods import Batch, build
from jaxgan.methods.autoencoder import Autoencoder, autoencoder, match_moments, pca_squared_error
from jaxgan.methods.method import Plane, Rows
from jaxgan.nn.mlp import Decoder, Encoder
from jaxgan.runtime.program import to_unit_range
from tests.methods.steps import a_batch as uniform_batch
from tests.methods.steps import first_update
from tests.random_states import fresh_state

SHAPE, KEY = (6, 5, 1), jax.random.key(0)
a_batch = partial(uniform_batch, classes=10)


def bytes_of(count, seed=0):
    """Images with more variance in some directions than in others."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(count, 30)) * np.linspace(2, 40, 30) @ np.linalg.qr(rng.normal(size=(30, 30)))[0] + 128
    return np.clip(mixed, 0, 255).astype(np.uint8).reshape(count, *SHAPE)


def trainer(method, images, *, size):
    """The function from (state, steps) to the state after so many steps on images of bytes, batch after batch."""
    resident, index = jnp.asarray(images), jnp.arange(size)

    def body(i, state):
        chosen = (state.step % (len(images) // size)) * size + index
        return method.step(state, Batch(to_unit_range(resident[chosen]), index, index), KEY)[0]

    return jax.jit(lambda state, steps: jax.lax.fori_loop(0, steps, body, state))


def squared_error(method, state, images):
    index = jnp.arange(len(images))
    return float(
        jax.jit(method.evaluate)(state, Batch(to_unit_range(jnp.asarray(images)), index, index), KEY)["squared_error"]
    )


@pytest.mark.parametrize("components", [1, 5, 29])
def test_the_baseline_is_the_error_of_a_singular_value_decomposition(components):
    train, held_out = bytes_of(300), np.clip(bytes_of(50, seed=1) // 2 + 60, 0, 255).astype(np.uint8)
    x, y = (images.reshape(len(images), -1) / 255 for images in (train, held_out))
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:components]
    restored = (y - x.mean(axis=0)) @ axes.T @ axes + x.mean(axis=0)
    found = pca_squared_error(train, held_out, components=components)
    assert found == pytest.approx(np.mean((y - restored) ** 2), rel=1e-9)
    method = build(Autoencoder(encoder="linear", latent_size=components), image_shape=SHAPE)
    assert method.baseline(train, held_out) == {"test_pca_squared_error": pytest.approx(found, rel=1e-8)}


def test_as_many_components_as_pixels_leave_nothing():
    assert pca_squared_error(bytes_of(300), bytes_of(50, seed=1), components=30) == pytest.approx(0, abs=1e-12)
    assert pca_squared_error(bytes_of(300), bytes_of(50, seed=1), components=99) == pytest.approx(0, abs=1e-12)


def test_a_linear_autoencoder_approaches_pca_from_above():
    images = bytes_of(2000)
    bound = pca_squared_error(images, images, components=8)  # on its own images no linear code can do better
    method = build(Autoencoder(encoder="linear", latent_size=8, learning_rate=1e-2), image_shape=SHAPE)
    state, train, errors = fresh_state(method), trainer(method, images, size=100), []
    for steps in (100, 200, 2700):
        state = train(state, steps)
        errors.append(squared_error(method, state, images) / bound)
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] > 1.2
    assert 1 - 1e-4 < errors[2] < 1.05


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("config", "steps"),
    [
        (Autoencoder(encoder="mlp", hidden_layers=1, initialization="lecun", learning_rate=2e-3), 450),
        (Autoencoder(encoder="conv", width=8, initialization="lecun", learning_rate=4e-3), 300),
    ],
    ids=["mlp", "conv"],
)
def test_deep_encoders_beat_pca_at_32_numbers_an_image(config, steps, mnist_dir):
    train, held_out = (data.load("mnist", split=split, data_dir=mnist_dir).images for split in ("train", "test"))
    method = build(config, image_shape=(28, 28, 1))
    state = trainer(method, train[:16_000], size=64)(fresh_state(method), steps)
    assert config.latent_size == 32
    known = pca_squared_error(train[:10_000], held_out, components=32)
    assert known == pytest.approx(0.0169, abs=0.0002)
    assert squared_error(method, state, held_out[:1000]) < 0.95 * known


def test_the_linear_encoder_is_one_affine_layer_each_way():
    config = Autoencoder(encoder="linear", latent_size=7)
    method = build(config, image_shape=SHAPE)
    params = jax.eval_shape(method.init, KEY).network.params
    shapes = {name: jax.tree.map(lambda x: x.shape, layers) for name, layers in params.items()}
    assert shapes == {
        "encoder": {"output": {"kernel": (30, 7), "bias": (7,)}},
        "decoder": {"output": {"kernel": (7, 30), "bias": (30,)}},
    }


def test_errors_are_means_over_pixels_and_cross_entropy_is_in_nats():
    pixels = np.linspace(0, 1, 60).reshape(2, *SHAPE)
    batch = Batch(jnp.asarray(2 * pixels - 1, jnp.float32), jnp.zeros(2, jnp.int32), jnp.arange(2))
    for bernoulli, value, restored in ((False, 0.75, 0.75), (True, math.log(3), 0.75)):
        method = autoencoder(
            Encoder(3), Decoder(SHAPE), image_shape=SHAPE, latent_size=3, optimizer=optax.sgd(0.0), bernoulli=bernoulli
        )
        state = fresh_state(method)
        params = jax.tree.map(np.zeros_like, jax.device_get(state.network.params))
        params["decoder"]["output"]["bias"] = jnp.full(30, value)  # restores every pixel as 3/4
        state = state.replace(network=state.network.replace(params=params))
        error = np.mean((pixels - restored) ** 2)
        nats = -np.sum(pixels * math.log(0.75) + (1 - pixels) * math.log(0.25)) / 2
        wanted = {"loss": nats if bernoulli else error, "squared_error": error}
        wanted |= {"cross_entropy": nats} if bernoulli else {}
        for metrics in (jax.jit(method.evaluate)(state, batch, KEY), jax.jit(method.step)(state, batch, KEY)[1]):
            assert {name: float(each) for name, each in metrics.items()} == pytest.approx(wanted, rel=1e-5)
        samples = jax.jit(method.sample, static_argnums=2)(state, KEY, 2)
        np.testing.assert_allclose(samples, np.full((2, *SHAPE), 0.5), rtol=1e-5)


@pytest.mark.parametrize(("encoder", "loss"), [("linear", "mse"), ("mlp", "bernoulli"), ("conv", "mse")])
def test_samples_decode_normal_codes_into_the_range_of_images(encoder, loss):
    config = Autoencoder(encoder=encoder, loss=loss, latent_size=3, hidden_units=16, width=4)
    method = build(config, image_shape=SHAPE)
    state = fresh_state(method)
    far = state.replace(
        network=state.network.replace(params=jax.tree.map(lambda w: 9 * w, jax.device_get(state.network.params)))
    )
    few, many = (jax.jit(method.sample, static_argnums=2)(far, KEY, count) for count in (2, 5))
    assert many.shape == (5, *SHAPE)
    assert np.abs(many).max() <= 1
    assert np.abs(many).max() > 0.5
    np.testing.assert_allclose(few, many[:2], rtol=1e-4, atol=1e-5)


def test_match_moments_gives_normal_latents_the_moments_of_codes():
    rng = np.random.default_rng(0)
    codes = jnp.asarray(rng.normal(size=(5000, 3)) @ np.array([[3, 0, 0], [1, 0.5, 0], [0, 0, 0]]) + [5, -2, 7])
    found = jax.jit(match_moments)(jnp.asarray(rng.normal(size=(50_000, 3))), codes)
    np.testing.assert_allclose(found.mean(axis=0), codes.mean(axis=0), atol=0.06)
    np.testing.assert_allclose(np.cov(found.T), np.cov(codes.T), atol=0.2)
    assert match_moments(jnp.ones((4, 1)), codes[:, :1]).shape == (4, 1)


@pytest.mark.slow
@pytest.mark.parametrize("latent_size", [pytest.param(1, marks=pytest.mark.exhaustive), 2])
def test_visualizations_are_reconstructions_noise_and_the_plane(latent_size):
    config = Autoencoder(latent_size=latent_size, hidden_units=16)
    method = build(config, image_shape=SHAPE)
    state, batch = fresh_state(method), a_batch(40)
    shown = method.visualize(state, batch, KEY)
    kinds = {"reconstructions": Rows, "decoded_noise": Rows} | ({"latent_plane": Plane} if latent_size == 2 else {})
    assert {name: type(each) for name, each in shown.items()} == kinds
    (encoder, _), (decoder, _) = method.networks.values()
    params = state.network.params
    codes = encoder.apply({"params": params["encoder"]}, (batch.images + 1) / 2)
    rows = shown["reconstructions"].rows
    np.testing.assert_array_equal(rows["input"], batch.images[:12])
    restored = decoder.apply({"params": params["decoder"]}, codes[:12])
    np.testing.assert_allclose(rows["reconstruction"], np.clip(2 * restored - 1, -1, 1), atol=1e-5)
    assert [len(images) for images in shown["decoded_noise"].rows.values()] == [12, 12, 12]
    if latent_size == 2:
        np.testing.assert_allclose(shown["latent_plane"].points, codes, rtol=1e-5)
        np.testing.assert_array_equal(shown["latent_plane"].labels, batch.labels)


def test_the_first_update_has_the_learning_rate_of_the_config():
    method = build(Autoencoder(latent_size=3, hidden_units=16, learning_rate=0.125), image_shape=SHAPE)
    before = fresh_state(method)
    after, _ = jax.jit(method.step)(before, a_batch(), KEY)
    assert first_update(before.network, after.network) == pytest.approx(0.125, rel=1e-3)
