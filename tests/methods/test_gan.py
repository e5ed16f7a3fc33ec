import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan.errors import UserError
from jaxgan.methods import build
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.gan import gan
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.nn import mlp, noise
from jaxgan.nn.layers import BatchNorm
from tests.methods.steps import KEY, SHAPE, a_batch, assert_close, changed, one_step
from tests.random_states import fresh_state

CONFIG = VanillaGAN(hidden_units=12, latent_size=5, ema_decay=0.75)
CONVOLUTIONAL = DCGAN(width=2, latent_size=5)
SGD = optax.sgd(0.1)


@pytest.fixture(scope="module")
def stepped():
    """The state before a step of plain descent, the state after it, and its metrics."""
    return one_step(CONFIG, optimizer=SGD)


@pytest.fixture(scope="module")
def convolutional():
    """The same of a GAN with batch statistics, by Adam."""
    return one_step(CONVOLUTIONAL)


def by_hand(config, state, batch, key, *, learning_rate):
    """One step with SGD, written as the chapter has it: two passes, sigmoid, logarithms."""
    (generator, _), (discriminator, _) = build(config, image_shape=SHAPE).networks.values()
    n, d = config.latent_size, discriminator.bits_per_example
    bits = noise.random_bits(key, batch.index, count=2 * n + 3 * d)
    z_d, z_g = noise.uniform(bits[:, :n]), noise.uniform(bits[:, n : 2 * n])
    real_bits, fake_bits, generator_bits = jnp.split(bits[:, 2 * n :], 3, axis=1)

    def probability(params, images, bits):
        return jax.nn.sigmoid(discriminator.apply({"params": params}, images, train=True, bits=bits))

    def discriminator_loss(params):
        fake = jax.lax.stop_gradient(generator.apply({"params": state.generator.params}, z_d))
        on_real = -jnp.mean(jnp.log(probability(params, batch.images, real_bits)))
        return on_real - jnp.mean(jnp.log(1 - probability(params, fake, fake_bits)))

    d_loss, gradients = jax.value_and_grad(discriminator_loss)(state.discriminator.params)
    d_params = jax.tree.map(lambda p, g: p - learning_rate * g, state.discriminator.params, gradients)

    def generator_loss(params):
        return -jnp.mean(jnp.log(probability(d_params, generator.apply({"params": params}, z_g), generator_bits)))

    g_loss, gradients = jax.value_and_grad(generator_loss)(state.generator.params)
    g_params = jax.tree.map(lambda p, g: p - learning_rate * g, state.generator.params, gradients)
    return g_params, d_params, g_loss, d_loss


def test_a_step_updates_the_discriminator_and_then_the_generator(stepped):
    before, after, metrics = stepped
    written_out = jax.jit(lambda state: by_hand(CONFIG, state, a_batch(), KEY, learning_rate=0.1))
    g_params, d_params, g_loss, d_loss = written_out(before)
    assert metrics["generator_loss"] == pytest.approx(float(g_loss), rel=1e-5)
    assert metrics["discriminator_loss"] == pytest.approx(float(d_loss), rel=1e-5)
    assert_close(after.discriminator.params, d_params)
    assert_close(after.generator.params, g_params)


def test_samples_use_the_exponential_average_of_the_generator(stepped):
    method, (before, after, _) = build(CONFIG, image_shape=SHAPE), stepped
    expected = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, before.averaged, after.generator.params)
    assert_close(after.averaged, expected, rtol=1e-7, atol=1e-7)
    swapped = after.replace(generator=after.generator.replace(params=after.averaged), averaged=None)
    sample = jax.jit(method.sample, static_argnums=2)
    np.testing.assert_array_equal(sample(after, KEY, 3), sample(swapped, KEY, 3))


def test_dropout_takes_part_in_the_losses_of_both_networks(stepped):
    before, _, dropped = stepped
    _, _, kept = one_step(dataclasses.replace(CONFIG, dropout_rate=0.0), before, optimizer=SGD)
    assert dropped["discriminator_loss_real"] != kept["discriminator_loss_real"]
    assert dropped["generator_loss"] != kept["generator_loss"]


def test_running_statistics_follow_the_passes_of_a_networks_own_update(convolutional):
    before, after, _ = convolutional
    (generator, _), (discriminator, _) = build(CONVOLUTIONAL, image_shape=SHAPE).networks.values()
    bits = noise.random_bits(KEY, jnp.arange(8), count=10)
    first, second = noise.normal(bits[:, :5]), noise.normal(bits[:, 5:])

    def recorded(module, network, inputs):
        return module.apply(network.variables, inputs, train=True, mutable=["batch_stats"])[1]["batch_stats"]

    @jax.jit
    def expected(state):
        fake = generator.apply(state.generator.variables, first, train=True)
        once = recorded(discriminator, state.discriminator, a_batch().images)
        twice = recorded(discriminator, state.discriminator.replace(batch_stats=once), fake)
        return recorded(generator, state.generator, second), twice

    assert_close((after.generator.batch_stats, after.discriminator.batch_stats), expected(before))


def test_sampling_uses_running_statistics_and_draws_each_image_alone(convolutional):
    sample = jax.jit(build(CONVOLUTIONAL, image_shape=SHAPE).sample, static_argnums=2)
    before, after, _ = convolutional
    np.testing.assert_allclose(sample(after, KEY, 3), sample(after, KEY, 7)[:3], rtol=1e-4, atol=1e-6)
    other = after.replace(generator=after.generator.replace(batch_stats=before.generator.batch_stats))
    assert np.abs(sample(after, KEY, 3) - sample(other, KEY, 3)).max() > 1e-3


def test_a_penalty_every_other_step_weighs_twice_and_skips_between():
    config = DCGAN(width=2, latent_size=5, discriminator_norm="none")
    lazy = dataclasses.replace(config, r1_weight=1.0, penalty_every=2)
    _, first, metrics = one_step(lazy)
    _, *expected = one_step(dataclasses.replace(config, r1_weight=2.0))
    assert_close([first, metrics], expected, rtol=1e-5, atol=1e-7)
    _, second, metrics = one_step(lazy, first)
    _, expected, _ = one_step(config, first)
    assert_close(second, expected, rtol=1e-5, atol=1e-7)
    assert metrics["r1_penalty"] == 0


class Own(nn.Module):
    """A discriminator as a user may write it, in Flax's own layers."""

    @nn.compact
    def __call__(self, images, *, train=False):
        h = nn.Dense(12, use_bias=False, name="hidden_0")(images.reshape(len(images), -1))
        return nn.Dense(1, name="output")(nn.leaky_relu(h, 0.01))[:, 0]


@pytest.mark.slow
def test_a_discriminator_without_logits_of_pair_takes_the_same_step():
    own, ours = (
        gan(
            mlp.Generator(SHAPE, (12,)),
            discriminator,
            image_shape=SHAPE,
            latent_size=5,
            generator_optimizer=SGD,
            discriminator_optimizer=SGD,
        )
        for discriminator in (Own(), mlp.Discriminator((12,), dropout_rate=0.0))
    )
    state = fresh_state(ours)
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, jax.eval_shape(own.init, KEY))
    (after, metrics), expected = (jax.jit(method.step)(state, a_batch(), KEY) for method in (own, ours))
    assert all(changed(state.discriminator.params, after.discriminator.params))
    assert_close((after, metrics), expected, rtol=1e-5)


class Flax(nn.Module):
    """A generator with Flax's own batch normalization, and a variable of another kind if it is asked for one."""

    remembers: bool = False

    @nn.compact
    def __call__(self, z, *, train=False):
        if self.remembers:
            self.variable("cache", "calls", jnp.zeros, ())
        h = nn.BatchNorm(use_running_average=not train, momentum=0.0)(nn.Dense(4)(z))
        return jnp.tanh(nn.Dense(30)(h)).reshape(-1, *SHAPE)


def test_flax_s_own_batch_normalization_records_the_pass_that_trains():
    options = {"image_shape": SHAPE, "latent_size": 5, "generator_optimizer": SGD, "discriminator_optimizer": SGD}
    method, batch = gan(Flax(), Own(), **options), a_batch()
    before = fresh_state(method)
    after, _ = jax.jit(method.step)(before, batch, KEY)
    own = noise.named_bits(KEY, batch.index, {"fake_latents": 5, "generator_latents": 5})["generator_latents"]
    variables, latents = before.generator.variables, noise.PRIORS["uniform"].draw(own)
    _, recorded = Flax().apply(variables, latents, train=True, mutable=["batch_stats"])
    assert_close(after.generator.batch_stats, recorded["batch_stats"], rtol=1e-5)
    with pytest.raises(UserError, match="a network of a GAN has variables 'cache', allowed are 'params' and"):
        gan(Flax(remembers=True), Own(), **options).init(KEY)


class Conditional(nn.Module):
    """The same with labels, batch statistics and one feature for each class."""

    @nn.compact
    def __call__(self, images, labels=None, *, train=False):
        h = BatchNorm()(nn.Dense(12)(images.reshape(len(images), -1)), train=train)
        logits = nn.Dense(3)(nn.leaky_relu(h))
        return logits[:, 0] if labels is None else jnp.sum(logits * jax.nn.one_hot(labels, 3), axis=1)


class Drawn(nn.Module):
    """A generator that takes labels."""

    @nn.compact
    def __call__(self, z, labels=None, *, train=False):
        labels = jnp.arange(len(z)) % 3 if labels is None else labels
        return jnp.tanh(nn.Dense(30)(jnp.concatenate([z, jax.nn.one_hot(labels, 3)], axis=1))).reshape(-1, *SHAPE)


def test_conditional_modules_of_a_user_record_their_batch_statistics():
    options = {"image_shape": SHAPE, "latent_size": 5, "generator_optimizer": SGD, "discriminator_optimizer": SGD}
    method = gan(Drawn(), Conditional(), classes=3, **options)
    before = fresh_state(method)
    after, metrics = jax.jit(method.step)(before, a_batch(labels=[0, 1, 2, 1]), KEY)
    assert np.all(np.isfinite(list(metrics.values())))
    assert all(changed(before.discriminator.batch_stats, after.discriminator.batch_stats))
    assert method.sample(after, KEY, 4).shape == (4, *SHAPE)


def test_an_average_of_parameters_in_half_precision_moves_with_them():
    halves = dict.fromkeys(("generator_optimizer", "discriminator_optimizer"), SGD)
    network = HalfGenerator()
    method = gan(network, mlp.Discriminator((3,)), image_shape=SHAPE, latent_size=4, ema_decay=0.999, **halves)
    start = method.init(KEY)
    after = start.replace(
        generator=start.generator.replace(params=jax.tree.map(lambda x: x + 1, start.generator.params))
    )
    after, _ = jax.jit(method.step)(after, a_batch(), KEY)
    moved = jax.tree.map(lambda a, b: np.asarray(a - b, np.float64), after.averaged, start.averaged)
    for leaf in jax.tree.leaves(moved):
        np.testing.assert_allclose(leaf, 0.001, rtol=0.1)
    restarted = after.with_variables(*after.variables(averaged=False))
    assert jax.tree.map(lambda x: x.dtype, restarted) == jax.tree.map(lambda x: x.dtype, after)


class HalfGenerator(nn.Module):
    @nn.compact
    def __call__(self, latents, *, train=False):
        dense = nn.Dense(np.prod(SHAPE), param_dtype=jnp.bfloat16, dtype=jnp.float32)
        return nn.tanh(dense(latents)).reshape(-1, *SHAPE)
