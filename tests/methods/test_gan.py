import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.config import DCGAN, VanillaGAN
from jaxgan.methods import Batch, GANState, build, factory
from jaxgan.methods.factory import networks

SHAPE = (28, 28, 1)
KEY = jax.random.key(0)


def a_batch(size=64, seed=0):
    images = jax.random.uniform(jax.random.key(seed), (size, *SHAPE), minval=-1, maxval=1)
    return Batch(images, jnp.zeros(size, jnp.int32), jnp.arange(size))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_chapters_sizes_give_its_parameter_counts():
    state = build(VanillaGAN(), image_shape=SHAPE).init(KEY)
    assert count(state.generator.params) == 81_284
    assert count(state.discriminator.params) == 78_501
    without_bias = build(VanillaGAN(hidden_bias=False), image_shape=SHAPE).init(KEY)
    assert count(without_bias.generator.params) == 81_184


def test_depth_and_width_are_config_fields():
    state = build(VanillaGAN(hidden_layers=3, hidden_units=16, latent_size=5), image_shape=SHAPE).init(KEY)
    kernels = {name: p["kernel"].shape for name, p in state.generator.params.items()}
    assert kernels == {"hidden_0": (5, 16), "hidden_1": (16, 16), "hidden_2": (16, 16), "output": (16, 784)}
    assert {name for name, p in state.discriminator.params.items() if "bias" in p} == {"output"}


@pytest.mark.parametrize("law", ["uniform", "normal"])
def test_an_untrained_gan_has_losses_near_ln_2_and_2_ln_2(law):
    method = build(VanillaGAN(latent_law=law), image_shape=SHAPE)
    _, metrics = jax.jit(method.step)(method.init(KEY), a_batch(), KEY)
    assert metrics["generator_loss"] == pytest.approx(math.log(2), abs=0.25)
    assert metrics["discriminator_loss"] == pytest.approx(2 * math.log(2), abs=0.25)
    assert metrics["discriminator_loss"] == pytest.approx(
        float(metrics["discriminator_loss_real"] + metrics["discriminator_loss_fake"])
    )
    assert metrics["real_probability"] == pytest.approx(0.5, abs=0.15)
    assert metrics["fake_probability"] == pytest.approx(0.5, abs=0.15)


def test_the_state_is_one_pytree_with_both_optimizers_and_no_key():
    method = build(VanillaGAN(ema_decay=0.9), image_shape=SHAPE)
    state = method.init(KEY)
    assert isinstance(state, GANState)
    after, _ = jax.jit(method.step)(state, a_batch(), KEY)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert int(after.step) == 1
    assert [int(after.generator.opt_state[0].count), int(after.discriminator.opt_state[0].count)] == [1, 1]
    assert not any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state))


def test_a_step_is_a_pure_function_of_state_batch_and_key():
    method = build(VanillaGAN(), image_shape=SHAPE)
    step, state = jax.jit(method.step), method.init(KEY)
    first, again, other = (step(state, a_batch(), jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert first[1]["generator_loss"] != other[1]["generator_loss"]


def by_hand(config, state, batch, key, *, learning_rate):
    """One step with SGD, written as the chapter has it: two passes, sigmoid, logarithms, 64-bit where it can."""
    from jaxgan.nn import noise

    (generator, _), (discriminator, _) = networks(config, image_shape=SHAPE).values()
    n, d = config.latent_size, discriminator.noise_offsets[-1]
    bits = noise.words(key, batch.index, count=2 * n + 3 * d)
    z_d, z_g = noise.uniform(bits[:, :n]), noise.uniform(bits[:, n : 2 * n])
    real_bits, fake_bits, generator_bits = jnp.split(bits[:, 2 * n :], 3, axis=1)

    def probability(params, images, bits):
        return jax.nn.sigmoid(discriminator.apply({"params": params}, images, bits))

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


def test_a_step_is_the_chapters_discriminator_update_and_then_its_generator_update(monkeypatch):
    monkeypatch.setattr(factory, "adam", lambda *args: optax.sgd(0.1))
    config = VanillaGAN()
    method = build(config, image_shape=SHAPE)
    state = method.init(KEY)
    after, metrics = jax.jit(method.step)(state, a_batch(), KEY)
    g_params, d_params, g_loss, d_loss = by_hand(config, state, a_batch(), KEY, learning_rate=0.1)
    assert metrics["generator_loss"] == pytest.approx(float(g_loss), rel=1e-5)
    assert metrics["discriminator_loss"] == pytest.approx(float(d_loss), rel=1e-5)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, after.discriminator.params, d_params)
    jax.tree.map(close, after.generator.params, g_params)


def test_samples_come_from_evaluation_mode_and_the_same_key_gives_the_same_latents():
    method = build(VanillaGAN(), image_shape=SHAPE)
    state = method.init(KEY)
    few, many = method.sample(state, KEY, 5), method.sample(state, KEY, 9)
    np.testing.assert_allclose(few, many[:5], rtol=1e-5)
    assert few.shape == (5, *SHAPE)
    assert np.abs(few).max() <= 1


def test_the_averaged_generator_is_the_exponential_average_and_is_what_samples_are_drawn_from():
    method = build(VanillaGAN(ema_decay=0.75), image_shape=SHAPE)
    state = method.init(KEY)
    after, _ = jax.jit(method.step)(state, a_batch(), KEY)
    expected = jax.tree.map(lambda a, p: 0.75 * a + 0.25 * p, state.averaged, after.generator.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), after.averaged, expected)
    swapped = after.replace(generator=after.generator.replace(params=after.averaged), averaged=None)
    np.testing.assert_array_equal(method.sample(after, KEY, 3), method.sample(swapped, KEY, 3))


def test_dropout_is_active_in_training_and_absent_in_evaluation():
    _, (discriminator, _) = networks(VanillaGAN(), image_shape=SHAPE).values()
    images = a_batch().images
    params = discriminator.init(KEY, images)
    words = jnp.zeros((64, discriminator.noise_offsets[-1]), jnp.uint32)
    evaluated = discriminator.apply(params, images)
    # Words of zeros drop every unit, words of ones none; the kept ones are doubled.
    np.testing.assert_allclose(discriminator.apply(params, images, words), params["params"]["output"]["bias"][0])
    kept = discriminator.apply(params, images, ~words)
    bias = params["params"]["output"]["bias"][0]
    np.testing.assert_allclose(kept - bias, 2 * (evaluated - bias), rtol=1e-4, atol=1e-6)


def test_dropout_takes_part_in_the_losses_of_both_networks():
    config = dataclasses.replace(VanillaGAN(), dropout_rate=0.5)
    method = build(config, image_shape=SHAPE)
    state = method.init(KEY)
    alike = build(dataclasses.replace(config, dropout_rate=0.0), image_shape=SHAPE)
    with_dropout = jax.jit(method.step)(state, a_batch(), KEY)[1]
    without = jax.jit(alike.step)(state, a_batch(), KEY)[1]
    assert with_dropout["discriminator_loss_real"] != without["discriminator_loss_real"]
    assert with_dropout["generator_loss"] != without["generator_loss"]


def test_truncation_changes_what_is_sampled_and_not_what_is_learned():
    plain, closer, middle = (
        build(DCGAN(width=2, generator_norm="none", latent_size=8, truncation=share), image_shape=SHAPE)
        for share in (1.0, 0.5, 0.0)
    )
    state = jax.jit(plain.init)(KEY)
    programs = [jax.jit(method.step).lower(state, a_batch(), KEY).as_text() for method in (plain, closer)]
    assert programs[0] == programs[1]
    drawn = (jax.jit(method.sample, static_argnums=2)(state, KEY, 20) for method in (plain, closer, middle))
    images = [np.asarray(image) for image in drawn]
    assert images[0].std(axis=0).mean() > images[1].std(axis=0).mean() > images[2].std(axis=0).mean() == 0
