import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.methods import build
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.nn import noise
from tests.methods.steps import KEY, SHAPE, a_batch, first_update, one_step
from tests.random_states import fresh_state

DIGITS = (28, 28, 1)


def shapes(config):
    """The initial state's arrays, not computed."""
    return jax.eval_shape(build(config, image_shape=DIGITS).init, KEY)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_chapters_sizes_give_its_parameter_counts():
    state = shapes(VanillaGAN())
    assert count(state.generator.params) == 81_284
    assert count(state.discriminator.params) == 78_501
    assert count(shapes(VanillaGAN(hidden_bias=False)).generator.params) == 81_184


def test_depth_and_width_are_config_fields():
    state = shapes(VanillaGAN(hidden_layers=3, hidden_units=16, latent_size=5))
    kernels = {name: p["kernel"].shape for name, p in state.generator.params.items()}
    assert kernels == {"hidden_0": (5, 16), "hidden_1": (16, 16), "hidden_2": (16, 16), "output": (16, 784)}
    assert {name for name, p in state.discriminator.params.items() if "bias" in p} == {"output"}


@pytest.mark.slow
def test_an_untrained_gan_has_losses_near_ln_2_and_2_ln_2():
    config = VanillaGAN()
    state = jax.jit(build(config, image_shape=DIGITS).init)(KEY)
    _, _, metrics = one_step(config, state, batch=a_batch(64, shape=DIGITS), shape=DIGITS)
    assert metrics["generator_loss"] == pytest.approx(math.log(2), abs=0.25)
    assert metrics["discriminator_loss"] == pytest.approx(2 * math.log(2), abs=0.25)
    assert metrics["discriminator_loss"] == pytest.approx(
        float(metrics["discriminator_loss_real"] + metrics["discriminator_loss_fake"])
    )
    assert metrics["real_probability"] == pytest.approx(0.5, abs=0.15)
    assert metrics["fake_probability"] == pytest.approx(0.5, abs=0.15)


def test_each_network_has_adam_with_the_rates_and_decays_of_the_config():
    rates = {"generator": 0.25, "discriminator": 0.125}
    fields = {f"{name}_learning_rate": rate for name, rate in rates.items()}
    before, after, _ = one_step(VanillaGAN(hidden_units=8, beta1=0.5, beta2=0.75, dropout_rate=0.0, **fields))
    for name, rate in rates.items():
        network = getattr(after, name)
        assert first_update(getattr(before, name), network) == pytest.approx(rate, rel=1e-3)
        moments = network.opt_state[0]  # (1 - b1) g and (1 - b2) g^2
        expected = jax.tree.map(lambda mean: np.square(mean / (1 - 0.5)) * (1 - 0.75), moments.mu)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moments.nu, expected)


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_samples_are_generated_from_the_prior_of_the_config(prior):
    method = build(VanillaGAN(prior=prior, latent_size=7, hidden_units=8), image_shape=SHAPE)
    state = fresh_state(method)

    @jax.jit
    def generated(params):
        latents = noise.PRIORS[prior].draw(noise.random_bits(KEY, jnp.arange(4), count=7))
        return method.networks["generator"].module.apply({"params": params}, latents)

    found = jax.jit(method.sample, static_argnums=2)(state, KEY, 4)
    np.testing.assert_allclose(found, generated(state.generator.params), rtol=1e-5, atol=1e-6)


def test_slope_and_dropout_rate_of_the_config_reach_the_networks():
    networks = build(VanillaGAN(negative_slope=0.3, dropout_rate=0.25), image_shape=SHAPE).networks
    assert {network.module.negative_slope for network in networks.values()} == {0.3}
    assert networks["discriminator"].module.dropout_rate == 0.25


def test_a_mixture_needs_more_latents_than_it_has_clusters():
    build(VanillaGAN(prior="mixture", latent_size=11), image_shape=SHAPE)
    with pytest.raises(UserError, match=r"--latent-size: 10 is not allowed with --prior mixture, .* at least 11"):
        build(VanillaGAN(prior="mixture", latent_size=10), image_shape=SHAPE)
