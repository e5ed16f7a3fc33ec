import dataclasses
import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import data
from jaxgan.errors import UserError
from jaxgan.methods import Batch, build
from jaxgan.methods.losses import cross_entropy
from jaxgan.methods.method import Plane, Rows, Sheet
from jaxgan.methods.vae import VAE, quantile_grid, vae
from jaxgan.nn import noise
from jaxgan.nn.conditional import Conditional
from jaxgan.nn.mlp import Decoder, Encoder
from jaxgan.runtime.program import to_unit_range
from tests.methods.steps import a_batch as uniform_batch
from tests.methods.steps import first_update
from tests.random_states import fresh_state

SHAPE, KEY = (6, 5, 1), jax.random.key(0)
SMALL = VAE(latent_size=3, hidden_units=16)
a_batch = partial(uniform_batch, classes=10)


@pytest.fixture(scope="module")
def start():
    """The state in which the small method starts, whatever its beta and its rates."""
    return fresh_state(build(SMALL, image_shape=SHAPE))


def with_zeros(state, **biases):
    """A state whose parameters are all 0 but for the biases of the last layers, by network."""
    params = jax.tree.map(np.zeros_like, jax.device_get(state.network.params))
    for name, bias in biases.items():
        params[name]["output"]["bias"] = jnp.asarray(bias, jnp.float32)
    return state.replace(network=state.network.replace(params=params), averaged=params)


def test_the_reference_size_is_784_400_20_400_784():
    state = jax.eval_shape(build(VAE(), image_shape=(28, 28, 1)).init, KEY)
    kernels = {
        network: [layer["kernel"].shape for layer in layers.values()]
        for network, layers in state.network.params.items()
    }
    assert kernels == {"encoder": [(784, 400), (400, 40)], "decoder": [(20, 400), (400, 784)]}


def test_the_elbo_sums_over_pixels_and_latents_and_averages_over_images(start):
    method = build(SMALL, image_shape=SHAPE)
    mean, log_variance = [1.0, -2.0, 0.0], [0.0, math.log(2), 1.0]
    state = with_zeros(start, encoder=mean + log_variance)
    by_hand = (1 + 4 + 0 + (1 + 2 + math.e) - 3 - (0 + math.log(2) + 1)) / 2
    evaluate = jax.jit(method.evaluate)
    for size in (1, 16):
        metrics = evaluate(state, a_batch(size), KEY)
        assert metrics["reconstruction"] == pytest.approx(30 * math.log(2), rel=1e-5)  # a logit of 0 for each pixel
        assert metrics["kl_divergence"] == pytest.approx(by_hand, rel=1e-5)
        assert metrics["negative_elbo"] == pytest.approx(30 * math.log(2) + by_hand, rel=1e-5)


def test_beta_weighs_the_divergence_in_the_loss_and_not_in_the_elbo(start):
    method = build(dataclasses.replace(SMALL, beta=4.0), image_shape=SHAPE)
    metrics = jax.jit(method.step)(start, a_batch(), KEY)[1]
    terms = metrics["reconstruction"], metrics["kl_divergence"]
    assert terms[1] > 0.01
    assert metrics["loss"] == pytest.approx(float(terms[0] + 4 * terms[1]), rel=1e-6)
    assert metrics["negative_elbo"] == pytest.approx(float(sum(terms)), rel=1e-6)


def test_the_gradient_is_that_of_the_loss_written_out():
    method = build(VAE(latent_size=3, hidden_units=16, beta=2.0), image_shape=SHAPE, optimizer=optax.sgd(0.01))
    state, batch = fresh_state(method), a_batch()
    (encoder, _), (decoder, _) = method.networks.values()
    epsilon = noise.normal(noise.random_bits(KEY, batch.index, count=3))

    def loss(params):
        x = (batch.images + 1) / 2
        code = encoder.apply({"params": params["encoder"]}, x)
        mean, deviation = code[:, :3], jnp.sqrt(jnp.exp(code[:, 3:]))
        p = jax.nn.sigmoid(decoder.apply({"params": params["decoder"]}, mean + deviation * epsilon))
        likelihood = jnp.sum(x * jnp.log(p) + (1 - x) * jnp.log(1 - p))
        divergence = jnp.sum(mean**2 + deviation**2 - 1 - 2 * jnp.log(deviation)) / 2
        return (2 * divergence - likelihood) / len(x)

    before, (value, gradient) = state.network.params, jax.jit(jax.value_and_grad(loss))(state.network.params)
    expected = jax.tree.map(lambda p, g: p - 0.01 * g, *jax.device_get((before, gradient)))
    after, metrics = jax.jit(method.step)(state, batch, KEY)
    assert metrics["loss"] == pytest.approx(float(value), rel=1e-5)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, after.network.params, expected)


def test_samples_need_the_averaged_decoder_alone(start):
    method, state = build(SMALL, image_shape=SHAPE), start
    sample = jax.jit(method.sample, static_argnums=2)
    encoderless = state.replace(averaged={"decoder": state.averaged["decoder"]}, network=None)
    images = sample(encoderless, KEY, 7)
    np.testing.assert_array_equal(images, sample(state, KEY, 7))
    np.testing.assert_allclose(images[:3], sample(state, KEY, 3), rtol=1e-5, atol=1e-6)
    assert len(np.unique(images, axis=0)) == 7
    latents = noise.normal(noise.random_bits(KEY, jnp.arange(7), count=3))
    logits = jax.jit(method.networks["decoder"].module.apply)({"params": state.averaged["decoder"]}, latents)
    np.testing.assert_allclose(images, 2 / (1 + np.exp(-logits)) - 1, atol=1e-6)


def test_averaged_parameters_are_evaluated_and_sampled_from(start):
    method = build(VAE(latent_size=3, hidden_units=16, ema_decay=0.75), image_shape=SHAPE)
    after, _ = jax.jit(method.step)(start, a_batch(), KEY)
    expected = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, start.averaged, after.network.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.averaged, expected)
    plain = build(VAE(latent_size=3, hidden_units=16, ema_decay=0.0), image_shape=SHAPE)
    swapped = after.replace(network=after.network.replace(params=after.averaged), averaged=None)
    sample, plain_sample = (jax.jit(each.sample, static_argnums=2) for each in (method, plain))
    np.testing.assert_array_equal(sample(after, KEY, 3), plain_sample(swapped, KEY, 3))
    assert jax.jit(method.evaluate)(after, a_batch(), KEY) == jax.jit(plain.evaluate)(swapped, a_batch(), KEY)
    assert jax.eval_shape(plain.init, KEY).averaged is None


@pytest.mark.parametrize("targets", ["soft", "binarized"])
def test_encoder_and_loss_see_one_set_of_targets_per_key(targets):
    # With these weights the divergence is S^2 / 2 and the cross-entropy 30 log(1 + e) - S, where S sums the pixels.
    method = vae(
        Encoder(2), Decoder(SHAPE), image_shape=SHAPE, latent_size=1, optimizer=optax.sgd(0.0),
        binarized=targets == "binarized",
    )  # fmt: skip
    state = with_zeros(fresh_state(method), decoder=jnp.ones(30))
    params = state.network.params
    params["encoder"]["output"]["kernel"] = jnp.ones((30, 2)) * jnp.array([1.0, 0.0])
    state = state.replace(averaged=None)
    sums = []
    step = jax.jit(method.step)
    for seed in range(5):
        metrics = step(state, a_batch(1), jax.random.key(seed))[1]
        sums.append(30 * math.log(1 + math.e) - float(metrics["reconstruction"]))
        assert metrics["kl_divergence"] == pytest.approx(sums[-1] ** 2 / 2, rel=1e-4)
    whole = [value == pytest.approx(round(value), abs=1e-3) for value in sums]
    if targets == "binarized":
        assert all(whole)
        assert len({round(value) for value in sums}) > 1
    else:
        assert sums == pytest.approx([float(jnp.sum((a_batch(1).images + 1) / 2))] * 5, rel=1e-4)
        assert not any(whole)


@pytest.mark.exhaustive
def test_visualizations_show_reconstructions_paths_and_the_plane():
    method = build(VAE(latent_size=2, hidden_units=8), image_shape=SHAPE)
    state, batch = fresh_state(method), a_batch(40)
    shown = method.visualize(state, batch, KEY)
    assert {name: type(each) for name, each in shown.items()} == {
        "reconstructions": Rows,
        "interpolation": Rows,
        "manifold": Sheet,
        "latent_plane": Plane,
    }
    assert list(shown["interpolation"].rows) == ["0 to 1", "2 to 3", "4 to 5", "6 to 7", "8 to 9"]
    between = shown["interpolation"].rows["2 to 3"]
    assert between.shape == (12, *SHAPE)
    restored = shown["reconstructions"].rows["reconstruction"]
    np.testing.assert_array_equal(between[jnp.array([0, -1])], batch.images[2:4])
    np.testing.assert_allclose(between[jnp.array([1, -2])], restored[2:4], atol=1e-5)
    assert shown["manifold"].images.shape == (400, *SHAPE)


def test_images_of_one_class_have_no_interpolation_to_show(start):
    assert set(build(SMALL, image_shape=SHAPE).visualize(start, a_batch(classes=1), KEY)) == {"reconstructions"}


def test_the_manifold_is_a_grid_of_equal_probability_z_2_upwards():
    grid = np.asarray(jax.jit(quantile_grid, static_argnums=0)(4)).reshape(4, 4, 2)
    quantiles = [-1.1503494, -0.3186394, 0.3186394, 1.1503494]  # of N(0, 1) at 1/8, 3/8, 5/8 and 7/8
    np.testing.assert_allclose(grid[0, :, 0], quantiles, rtol=1e-5)
    np.testing.assert_allclose(grid[:, 0, 1], quantiles[::-1], rtol=1e-5)


@pytest.mark.exhaustive
def test_a_few_steps_on_digits_beat_the_elbo_of_independent_pixels(mnist_dir):
    train, held_out = (data.load("mnist", split=split, data_dir=mnist_dir) for split in ("train", "test"))
    config = VAE(initialization="lecun", learning_rate=3e-3, ema_decay=0.9)
    method = build(config, image_shape=(28, 28, 1))
    images = jnp.asarray(train.images[:6400])
    index = jnp.arange(64)

    def body(i, state):
        batch = Batch(
            to_unit_range(jax.lax.dynamic_slice(images, (64 * (i % 100), 0, 0, 0), (64, 28, 28, 1))), index, index
        )
        return method.step(state, batch, jax.random.fold_in(KEY, i))[0]

    state = jax.jit(lambda state: jax.lax.fori_loop(0, 150, body, state))(fresh_state(method))
    test = jnp.asarray(held_out.images[:1000])
    metrics = jax.jit(method.evaluate)(state, Batch(to_unit_range(test), jnp.arange(1000), jnp.arange(1000)), KEY)
    mean = np.clip(train.images.mean(axis=0) / 255, 1e-6, 1 - 1e-6)
    logits = jnp.asarray(np.log(mean / (1 - mean)))[None]
    independent = jnp.mean(cross_entropy(jnp.broadcast_to(logits, test.shape), test / 255.0))
    assert independent == pytest.approx(206, abs=3)
    assert metrics["negative_elbo"] < 170
    assert metrics["kl_divergence"] > 3  # the latents say something


def test_convolutional_networks_map_to_moments_and_to_logits():
    method = build(VAE(encoder="conv", latent_size=3), image_shape=SHAPE)
    shapes = {"encoder": (2, 6), "decoder": (2, *SHAPE)}
    for name, (module, input_shape) in method.networks.items():
        output, _ = jax.eval_shape(module.init_with_output, KEY, jnp.zeros((2, *input_shape)))
        assert output.shape == shapes[name]


CONDITIONAL = VAE(latent_size=3, hidden_units=16, conditional=True, importance_samples=2, targets="binarized")


def test_a_conditional_network_sees_one_hot_labels_beside_its_input():
    rows, planes = Conditional(Encoder(2), 3), Conditional(Encoder(1), 2, planes=True)
    weights = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    z, labels, images = jnp.array([[1.0, -1.0], [0.5, 2.0]]), jnp.array([2, 0]), jnp.arange(4.0).reshape(1, 2, 2, 1)
    by_channel = jnp.tile(jnp.array([[1.0], [100.0], [1000.0]]), (4, 1))

    @jax.jit
    def apply():
        params = {"output": {"kernel": weights, "bias": jnp.zeros(2)}}
        found = [rows.apply({"params": params}, z, each) for each in (labels, None, jnp.arange(2))]
        params = {"output": {"kernel": by_channel, "bias": jnp.zeros(1)}}
        return *found, planes.apply({"params": params}, images, jnp.array([1]))

    chosen, in_turn, zero_one, of_planes = apply()
    given = np.array([[1.0, -1.0, 0, 0, 1], [0.5, 2.0, 1, 0, 0]])
    np.testing.assert_allclose(chosen, given @ weights, rtol=1e-5)
    np.testing.assert_array_equal(in_turn, zero_one)
    np.testing.assert_array_equal(of_planes, [[0 + 1 + 2 + 3 + 4 * 1000]])


def test_conditional_loss_samples_and_likelihood_depend_on_the_labels():
    method, batch = build(CONDITIONAL, image_shape=SHAPE), a_batch(4)
    state, other = fresh_state(method), batch._replace(labels=batch.labels[::-1])
    evaluate, estimate = jax.jit(method.evaluate), jax.jit(lambda *inputs: method.likelihood.estimate(*inputs, 2))
    for name, value in evaluate(state, batch, KEY).items():  # of both networks
        assert value != evaluate(state, other, KEY)[name]
    assert np.all(estimate(state, batch, KEY) != estimate(state, other, KEY))
    generator, z = method.generator(state), jnp.zeros((4, 3))
    assert generator.classes == 10
    assert len(np.unique(jax.jit(generator.images)(z, jnp.arange(4)), axis=0)) == 4
    assert method.classes == 10


@pytest.mark.exhaustive
def test_a_conditional_vae_draws_the_class_asked_for():
    method = build(dataclasses.replace(CONDITIONAL, learning_rate=0.01), image_shape=SHAPE, classes=2)
    labels = jnp.arange(32) % 2
    bright = jnp.broadcast_to(jnp.where(labels == 1, 0.9, -0.9)[:, None, None, None], (32, *SHAPE))
    batch = Batch(bright, labels, jnp.arange(32))
    body = lambda i, state: method.step(state, batch, jax.random.fold_in(KEY, i))[0]
    state = jax.jit(lambda state: jax.lax.fori_loop(0, 400, body, state))(method.init(KEY))
    drawn = np.mean(jax.jit(method.sample, static_argnums=2)(state, KEY, 20), axis=(1, 2, 3))
    assert np.all(np.abs(drawn - np.where(np.arange(20) % 2 == 1, 0.9, -0.9)) < 0.25)


def test_a_conditional_vae_needs_classes_and_importance_weights_no_beta():
    with pytest.raises(UserError, match="--conditional: the images have no classes"):
        build(CONDITIONAL, image_shape=SHAPE, classes=1)
    with pytest.raises(UserError, match="--beta: 2 is not allowed with --importance-samples above 1"):
        build(VAE(importance_samples=5, beta=2.0), image_shape=SHAPE)


def test_hidden_layers_have_the_activation_of_the_config():
    config = VAE(latent_size=1, hidden_units=1, activation="tanh")
    for module, input_shape in build(config, image_shape=SHAPE).networks.values():
        params = jax.eval_shape(module.init, KEY, jnp.zeros((1, *input_shape)))["params"]
        ones = jax.tree.map(lambda x: jnp.ones(x.shape), params)
        given = jnp.full((1, *input_shape), 0.5)
        found = jax.jit(module.apply)({"params": ones}, given)
        np.testing.assert_allclose(found, 1 + np.tanh(1 + given.sum()), rtol=1e-6)


def test_the_learning_rate_is_that_of_the_config_and_falls_to_0():
    method = build(dataclasses.replace(SMALL, learning_rate=2e-3, decay_steps=2), image_shape=SHAPE)
    step, states = jax.jit(method.step), [fresh_state(method)]
    for _ in range(3):
        states.append(step(states[-1], a_batch(), KEY)[0])
    moves = [first_update(a.network, b.network) for a, b in itertools.pairwise(states)]
    assert moves[0] == pytest.approx(2e-3, rel=1e-3)
    assert 0 < moves[1] < moves[0]
    assert moves[2] == 0
