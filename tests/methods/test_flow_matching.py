import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan.errors import UserError
from jaxgan.methods import Batch, build
from jaxgan.methods.flow_matching import FlowMatching, euler, flow_matching, heun, learning_rate, path
from jaxgan.nn import noise
from jaxgan.nn.unet import UNet, level_geometries, time_embedding

KEY = jax.random.key(0, impl="threefry2x32")
SHAPE = (4, 4, 1)
BATCH = Batch(jax.random.uniform(KEY, (500, *SHAPE), minval=-1), jnp.arange(500) % 3, jnp.arange(500))
SMALL = FlowMatching(width=2, levels=2, sample_steps=2)


class Constant(nn.Module):
    """A velocity that is one parameter, plus the label where there is one."""

    @nn.compact
    def __call__(self, x, t=None, labels=None):
        level = self.param("level", nn.initializers.constant(0.5), ())
        return jnp.broadcast_to(level, x.shape) + (0 if labels is None else labels[:, None, None, None])


def constant(**options):
    options = {"integrate": partial(euler, steps=1), **options}
    method = flow_matching(Constant(), image_shape=SHAPE, optimizer=optax.sgd(0.1), **options)
    sample = jax.jit(method.sample, static_argnums=2)
    return method._replace(init=jax.jit(method.init), step=jax.jit(method.step), sample=sample)


def seen_by_the_network(**options):
    """What the network is given for a batch: images on their way, times and labels."""
    seen = []

    class Spy(nn.Module):
        @nn.compact
        def __call__(self, x, t=None, labels=None):
            seen.append((x, t, labels))
            return x * self.param("level", nn.initializers.ones, ())

    method = flow_matching(Spy(), image_shape=SHAPE, optimizer=optax.sgd(0.1), integrate=None, **options)
    method.evaluate(method.init(KEY), BATCH, KEY)
    return seen[-1]


def test_the_path_is_straight_from_noise_to_the_image():
    x_0, x_1, t = -jnp.ones((3, *SHAPE)), jnp.ones((3, *SHAPE)), jnp.array([0.0, 0.25, 1.0])
    np.testing.assert_allclose(path(x_0, x_1, t)[:, 0, 0, 0], [-1, -0.5, 1])


def test_the_loss_is_the_squared_error_of_the_velocity_per_pixel():
    method = constant()
    state, metrics = method.step(method.init(KEY), BATCH, KEY)
    bits = noise.random_bits(KEY, BATCH.index, count=18)
    x_0 = np.asarray(noise.normal(bits[:, :16])).reshape(-1, *SHAPE)
    error = 0.5 - (np.asarray(BATCH.images) - x_0)
    assert float(metrics["velocity_error"]) == pytest.approx(np.mean(error**2), rel=1e-5)
    moved = 0.5 - 0.1 * 2 * np.mean(error)  # by descent
    assert float(state.network.params["velocity"]["level"]) == pytest.approx(moved, rel=1e-5)


def test_the_error_of_an_image_is_that_of_its_velocity_until_late():
    method = constant(prediction="image")
    _, metrics = method.step(method.init(KEY), BATCH, KEY)
    t = (np.asarray(noise.uniform(noise.random_bits(KEY, BATCH.index, count=18)[:, 16])) + 1) / 2
    weights = 1 / (1 - np.minimum(t, 0.95)) ** 2
    expected = np.mean(weights * np.mean((np.tanh(0.5) - np.asarray(BATCH.images)) ** 2, axis=(1, 2, 3)))
    assert float(metrics["velocity_error"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("solver", [euler, heun])
def test_the_flow_of_one_predicted_image_ends_in_it(solver):
    method = constant(prediction="image", integrate=lambda v, x: solver(v, x, steps=3))
    np.testing.assert_allclose(method.sample(method.init(KEY), KEY, 5), np.tanh(0.5), rtol=1e-5)


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2)])
def test_solvers_have_their_order_on_exponential_growth(solver, order):
    x = jnp.ones((1, *SHAPE))
    errors = [float(abs(solver(lambda x, t: x, x, steps=n)[0, 0, 0, 0] - math.e)) for n in (16, 32)]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize(("solver", "reached"), [(euler, 0.75), (heun, 0.9375)])
def test_solvers_pass_the_times_of_their_evaluations(solver, reached):
    x = jnp.zeros((1, *SHAPE))
    moved = solver(lambda x, t: 2 * t[:, None, None, None] + 0 * x, x, steps=4)  # sums t at the left ends, or both
    np.testing.assert_allclose(moved, reached, rtol=1e-6)


def test_the_network_sees_the_image_where_its_time_has_brought_it():
    x, t, _ = seen_by_the_network()
    x_0 = noise.normal(noise.random_bits(KEY, BATCH.index, count=18)[:, :16]).reshape(-1, *SHAPE)
    np.testing.assert_allclose(x, path(x_0, BATCH.images, t), rtol=1e-5, atol=1e-6)


def test_samples_integrate_the_noise_of_their_key_and_are_clipped():
    method = constant()
    state = method.init(KEY)
    latents = noise.normal(noise.random_bits(KEY, jnp.arange(6), count=16)).reshape(-1, *SHAPE)
    np.testing.assert_allclose(method.sample(state, KEY, 6), np.clip(latents + 0.5, -1, 1), rtol=1e-6)


def test_guidance_extrapolates_from_the_velocity_of_no_class():
    method = constant(classes=3, guidance=2.0)
    start = jnp.array([-1.0, 0.0])  # so that neither image is clipped
    latents = jnp.broadcast_to(start[:, None], (2, 16))
    images = method.generator(method.init(KEY)).images(latents, jnp.array([2, 1]))
    # v(unknown) = 0.5 + 3, v(label) = 0.5 + label; unknown + 2 (label - unknown) = 0.5 + 2 label - 3
    np.testing.assert_allclose(images[:, 0, 0, 0], [-1 + 1.5, 0 - 0.5], rtol=1e-6)


def test_labels_are_hidden_with_their_probability():
    labels = np.asarray(seen_by_the_network(classes=3, label_dropout=0.25)[2])
    hidden = labels == 3
    assert 0.18 < hidden.mean() < 0.32
    np.testing.assert_array_equal(labels[~hidden], np.asarray(BATCH.labels)[~hidden])


@pytest.mark.parametrize(("time", "middle"), [("uniform", 0.5), ("logit-normal", 0.683)])
def test_training_times_follow_their_distribution(time, middle):
    t = np.asarray(seen_by_the_network(time=time)[1])
    low, high = (0.25, 0.75) if time == "uniform" else (1 / (1 + math.e), math.e / (1 + math.e))
    assert np.mean((t > low) & (t < high)) == pytest.approx(middle, abs=0.07)


def test_the_step_size_warms_up_and_falls_to_nothing():
    rate = learning_rate(FlowMatching(learning_rate=1.0, warmup_steps=10, decay_steps=110))
    np.testing.assert_allclose([rate(0), rate(5), rate(10), rate(60), rate(110)], [0, 0.5, 1, 0.5, 0], atol=1e-6)
    constant_rate = learning_rate(FlowMatching(learning_rate=1.0, warmup_steps=0))
    assert float(constant_rate(10**6)) == 1


def test_a_decay_that_ends_within_the_warmup_is_refused():
    with pytest.raises(UserError, match="--decay-steps: 10 is not allowed, it must be above the 10 steps"):
        build(dataclasses.replace(SMALL, warmup_steps=10, decay_steps=10), image_shape=SHAPE)


def test_conditional_needs_classes_and_guidance_needs_conditional():
    conditional = dataclasses.replace(SMALL, conditional=True)
    with pytest.raises(UserError, match="--conditional: the images have no classes"):
        build(conditional, image_shape=SHAPE, classes=1)
    with pytest.raises(UserError, match="--guidance: 2 needs --conditional"):
        build(dataclasses.replace(SMALL, guidance=2.0), image_shape=SHAPE)


@pytest.mark.parametrize("size", [(28, 28, 1), (17, 12, 3), (4, 4, 1), (2, 3, 2)])
def test_a_unet_predicts_velocities_of_the_images_shape(size):
    net = UNet(size, width=2, classes=3)
    given = jnp.zeros((2, *size)), jnp.zeros(2), jnp.zeros(2, jnp.int32)
    shape = jax.eval_shape(lambda: net.init_with_output(KEY, *given))[0].shape
    assert shape == (2, *size)
    assert len(level_geometries(size[:2], 3)) >= 1


@pytest.mark.slow
def test_an_unknown_class_is_the_label_beyond_the_last():
    net = UNet(SHAPE, width=2, classes=3)
    x, t = jax.random.normal(KEY, (2, *SHAPE)), jnp.array([0.2, 0.7])
    variables, apply = jax.jit(net.init)(KEY, x, t, jnp.zeros(2, jnp.int32)), jax.jit(net.apply)
    unknown = apply(variables, x, t, jnp.full(2, 3))
    np.testing.assert_allclose(apply(variables, x, t), unknown, rtol=1e-6, atol=1e-7)
    assert not np.allclose(unknown, apply(variables, x, t, jnp.full(2, 1)))


def test_the_embedding_tells_times_apart_at_every_scale():
    embedded = time_embedding(jnp.array([0.0, 0.001, 0.5, 1.0]))
    distances = np.linalg.norm(embedded[:, None] - embedded[None], axis=-1)
    assert distances[~np.eye(4, dtype=bool)].min() > 0.3
    np.testing.assert_allclose(embedded[0], [1] * 32 + [0] * 32)
