"""The importance-weighted estimate of the log-likelihood, against quadrature and against the ELBO."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.methods import Batch
from jaxgan.methods.reconstruction import cross_entropy
from jaxgan.methods.vae import importance_weighted_log_likelihood, vae
from jaxgan.nn.autoencoders import Decoder, Encoder

KEY = jax.random.key(0)


def a_tiny_vae(seed=0):
    """Networks of four pixels and one latent, with weights far from trained."""
    encoder, decoder = Encoder(2), Decoder((2, 2, 1))
    keys = jax.random.split(jax.random.key(seed))
    params = {
        "encoder": encoder.init(keys[0], jnp.zeros((1, 2, 2, 1)))["params"],
        "decoder": jax.tree.map(lambda w: 3 * w, decoder.init(keys[1], jnp.zeros((1, 1)))["params"]),
    }
    return encoder, decoder, params


def every_binary_image():
    return jnp.array(list(itertools.product([0.0, 1.0], repeat=4))).reshape(16, 2, 2, 1)


def test_the_importance_weighted_estimate_is_the_log_likelihood_by_quadrature():
    encoder, decoder, params = a_tiny_vae()
    pixels = every_binary_image()
    z = jnp.linspace(-9, 9, 2001)
    density = jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    logits = decoder.apply({"params": params["decoder"]}, z[:, None])
    likelihoods = jnp.exp(-jax.vmap(lambda x: cross_entropy(logits, x[None]))(pixels))  # image, z
    exact = jnp.log(jnp.sum(likelihoods * density, axis=1) * (z[1] - z[0]))
    estimate = importance_weighted_log_likelihood(encoder, decoder, params, pixels, jnp.arange(16), KEY, samples=20_000)
    np.testing.assert_allclose(estimate, exact, atol=0.02)
    assert np.ptp(exact) > 1  # there is something to tell apart
    assert jnp.sum(jnp.exp(estimate)) == pytest.approx(1, abs=0.01)


def test_the_importance_weighted_estimate_begins_at_the_elbo_and_does_not_fall_with_more_samples():
    encoder, decoder, params = a_tiny_vae()
    repeats = 5000
    images = jnp.broadcast_to(every_binary_image()[5], (repeats, 2, 2, 1))
    index = jnp.arange(repeats)
    counts = (1, 2, 5, 50)
    estimates = [
        importance_weighted_log_likelihood(encoder, decoder, params, images, index, KEY, samples=k) for k in counts
    ]
    method = vae(encoder, decoder, image_shape=(2, 2, 1), latent_size=1, optimizer=optax.sgd(0.0))
    state = jax.jit(method.init)(KEY)
    state = state.replace(network=state.network.replace(params=params))
    elbo = -jax.jit(method.evaluate)(state, Batch(2 * images - 1, index, index), jax.random.key(1))["negative_elbo"]
    error = np.std(estimates[0]) / math.sqrt(repeats)
    assert np.mean(estimates[0]) == pytest.approx(float(elbo), abs=float(5 * error))
    assert np.all(np.diff([np.mean(e) for e in estimates]) > 0)
    assert np.mean(estimates[-1]) - np.mean(estimates[0]) > 20 * error
