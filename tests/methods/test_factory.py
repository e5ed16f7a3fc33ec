import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.config import VanillaGAN
from jaxgan.errors import UserError
from jaxgan.methods import Batch, build, factory
from jaxgan.methods.factory import networks
from jaxgan.nn import noise

SHAPE = (6, 5, 1)
KEY = jax.random.key(0)


def test_each_network_is_updated_by_adam_with_the_rates_and_decays_of_the_config(monkeypatch):
    made = []
    monkeypatch.setattr(factory, "adam", lambda *args: made.append(args) or optax.sgd(args[0]))
    config = VanillaGAN(generator_learning_rate=0.5, discriminator_learning_rate=0.25, beta1=0.3, beta2=0.7)
    method = build(config, image_shape=SHAPE)
    assert made == [(0.5, 0.3, 0.7), (0.25, 0.3, 0.7)]
    state = method.init(KEY)
    index = jnp.arange(8)
    batch = Batch(jax.random.uniform(KEY, (8, *SHAPE), minval=-1), index, index)
    slow = build(VanillaGAN(generator_learning_rate=0.0, discriminator_learning_rate=0.25), image_shape=SHAPE)
    after, _ = jax.jit(slow.step)(state, batch, KEY)
    jax.tree.map(np.testing.assert_array_equal, after.generator.params, state.generator.params)
    assert np.any(after.discriminator.params["output"]["kernel"] != state.discriminator.params["output"]["kernel"])


def test_two_keys_give_two_initial_states():
    method = build(VanillaGAN(), image_shape=SHAPE)
    kernels = [method.init(jax.random.key(seed)).generator.params["output"]["kernel"] for seed in (0, 1)]
    assert not np.any(kernels[0] == kernels[1])


@pytest.mark.parametrize(("law", "transform"), [("uniform", noise.uniform), ("normal", noise.normal)])
def test_samples_are_the_generators_images_of_latents_of_the_config_s_law(law, transform):
    config = VanillaGAN(latent_law=law, latent_size=7)
    method = build(config, image_shape=SHAPE)
    state = method.init(KEY)
    generator, _ = networks(config, image_shape=SHAPE)["generator"]
    latents = transform(noise.words(KEY, jnp.arange(4), count=7))
    expected = generator.apply({"params": state.generator.params}, latents)
    np.testing.assert_allclose(method.sample(state, KEY, 4), expected, rtol=1e-6)


def test_the_slope_and_the_dropout_rate_of_the_config_reach_the_networks():
    config = VanillaGAN(negative_slope=0.3, dropout_rate=0.25)
    (generator, _), (discriminator, _) = networks(config, image_shape=SHAPE).values()
    assert (generator.negative_slope, discriminator.negative_slope) == (0.3, 0.3)
    assert discriminator.dropout_rate == 0.25
    z = jnp.ones((1, 20))
    params = generator.init(KEY, z)
    hidden = z @ params["params"]["hidden_0"]["kernel"] + params["params"]["hidden_0"]["bias"]
    hidden = np.where(hidden > 0, hidden, 0.3 * hidden)
    output = np.tanh(hidden @ params["params"]["output"]["kernel"] + params["params"]["output"]["bias"])
    np.testing.assert_allclose(generator.apply(params, z).reshape(1, -1), output, rtol=1e-4, atol=1e-5)


def test_a_mixture_needs_more_numbers_than_it_has_clusters():
    build(VanillaGAN(latent_law="mixture", latent_size=11), image_shape=SHAPE)
    with pytest.raises(UserError, match=r"--latent-size: 10 is not allowed with --latent-law mixture, .* at least 11"):
        build(VanillaGAN(latent_law="mixture", latent_size=10), image_shape=SHAPE)
