import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.special import logsumexp

from jaxgan.data import Dataset
from jaxgan.methods import Batch
from jaxgan.methods.evidence import (
    importance_weighted_bound,
    importance_weighted_log_likelihood,
    kl_divergence,
    posterior,
    reparameterize,
    sampled_terms,
)
from jaxgan.methods.losses import cross_entropy
from jaxgan.methods.vae import vae
from jaxgan.nn import noise
from jaxgan.nn.mlp import Decoder, Encoder
from jaxgan.runs import held_out
from tests.random_states import fresh_state

KEY, SHAPE = jax.random.key(0), (2, 2, 1)


def a_tiny_vae(seed=0):
    """Networks of four pixels and one latent, with weights far from trained."""
    encoder, decoder = Encoder(2), Decoder(SHAPE)
    keys = jax.random.split(jax.random.key(seed))
    params = {
        "encoder": encoder.init(keys[0], jnp.zeros((1, *SHAPE)))["params"],
        "decoder": jax.tree.map(lambda w: 3 * w, decoder.init(keys[1], jnp.zeros((1, 1)))["params"]),
    }
    return encoder, decoder, params


def estimator(encoder, decoder, *, samples):
    """The compiled estimate from (parameters, pixels, index)."""

    @jax.jit
    def estimate(params, pixels, index):
        return importance_weighted_log_likelihood(encoder, decoder, params, pixels, index, KEY, samples=samples)

    return estimate


def every_binary_image():
    return jnp.array(list(itertools.product([0.0, 1.0], repeat=4))).reshape(16, 2, 2, 1)


def test_importance_weighting_estimates_the_exact_log_likelihood():
    encoder, decoder, params = a_tiny_vae()
    pixels = every_binary_image()

    @jax.jit
    def integral():
        z = jnp.linspace(-9, 9, 2001)
        density = jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        logits = decoder.apply({"params": params["decoder"]}, z[:, None])
        likelihoods = jnp.exp(
            -jax.vmap(lambda x: cross_entropy(logits, jnp.broadcast_to(x, logits.shape)))(pixels)
        )  # image, z
        return jnp.log(jnp.sum(likelihoods * density, axis=1) * (z[1] - z[0]))

    exact = integral()
    estimate = estimator(encoder, decoder, samples=20_000)(params, pixels, jnp.arange(16))
    np.testing.assert_allclose(estimate, exact, atol=0.02)
    assert np.ptp(exact) > 1  # there is something to tell apart
    assert np.sum(np.exp(estimate)) == pytest.approx(1, abs=0.01)


def latents(params, pixels, epsilon):
    """Latents, mean and log-variance in NumPy."""
    encoder = params["encoder"]["output"]
    mean, log_variance = np.split(pixels @ encoder["kernel"] + encoder["bias"], 2, axis=1)
    return mean + np.exp(log_variance / 2) * epsilon, mean, log_variance


def log_weights(params, pixels, z, mean, log_variance):
    """The log importance weights of images in NumPy, by the densities written out."""
    decoder = params["decoder"]["output"]
    p = 1 / (1 + np.exp(-(z[..., None] @ decoder["kernel"] + decoder["bias"])))
    x = pixels[:, None]
    log_likelihood = np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=2)
    log_prior = -(z**2) / 2 - math.log(2 * math.pi) / 2
    log_posterior = -((z - mean) ** 2) / (2 * np.exp(log_variance)) - log_variance / 2 - math.log(2 * math.pi) / 2
    return log_likelihood + log_prior - log_posterior


def numerical_gradient(function, params):
    """Central differences of a function of a dictionary of arrays, one number at a time."""
    leaves, structure = jax.tree.flatten(params)
    gradients = [np.zeros_like(leaf) for leaf in leaves]
    for leaf, gradient in zip(leaves, gradients, strict=True):
        for place in np.ndindex(leaf.shape):
            value, found = leaf[place], []
            for step in (1e-5, -1e-5):
                leaf[place] = value + step
                found.append(function(jax.tree.unflatten(structure, leaves)))
            leaf[place] = value
            gradient[place] = (found[0] - found[1]) / 2e-5
    return jax.tree.unflatten(structure, gradients)


def test_loss_and_gradients_are_those_of_the_iwae_bound_in_numpy():
    samples, size = 3, 6
    encoder, decoder, params = a_tiny_vae()
    how = {"image_shape": SHAPE, "latent_size": 1, "optimizer": optax.sgd(1.0), "binarized": True}
    method = vae(encoder, decoder, importance_samples=samples, **how)
    state = fresh_state(method)
    state = state.replace(network=state.network.replace(params=params))
    images = np.random.default_rng(0).uniform(-1, 1, (size, *SHAPE)).astype(np.float32)
    batch = Batch(jnp.asarray(images), jnp.zeros(size, jnp.int32), jnp.arange(size))
    after, metrics = jax.jit(method.step)(state, batch, KEY)

    bits = noise.random_bits(KEY, batch.index, count=samples + 4)
    epsilon = np.asarray(noise.normal(bits[:, :samples]), np.float64)
    pixels = (np.asarray(noise.uniform(bits[:, samples:])) < images.reshape(size, 4)).astype(np.float64)
    assert 0 < pixels.mean() < 1
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    z, *moments = latents(exact, pixels, epsilon)
    weights = np.exp(log_weights(exact, pixels, z, *moments))

    def bound(decoder):
        return -np.mean(np.log(np.mean(np.exp(log_weights({"decoder": decoder}, pixels, z, *moments)), axis=1)))

    def through_the_latents(encoder):  # Tucker et al. 2019, whose squared weights are constants
        moved, *_ = latents({"encoder": encoder}, pixels, epsilon)
        squares = np.square(weights / weights.sum(axis=1, keepdims=True))
        return -np.mean(np.sum(squares * log_weights(exact, pixels, moved, *moments), axis=1))

    assert metrics["loss"] == pytest.approx(bound(exact["decoder"]), rel=1e-5)
    assert metrics["loss"] < metrics["negative_elbo"]
    found = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), params, after.network.params)
    for name, function in {"decoder": bound, "encoder": through_the_latents}.items():
        gradients = numerical_gradient(function, exact[name])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), found[name], gradients)


def test_gradients_of_the_bound_have_the_expectation_of_plain_gradients():
    encoder, decoder, params = a_tiny_vae()
    pixels = every_binary_image()[5:6]

    def gradient(bound, key):
        def of(params):
            moments = posterior(encoder, params, pixels)
            z = reparameterize(*(moment[:, None] for moment in moments), jax.random.normal(key, (1, 4, 1)))
            return bound(decoder, params["decoder"], pixels, moments, z)[0]

        return jax.grad(of)(params)["encoder"]["output"]["bias"]

    def plain(*evidence):
        errors, log_ratios = sampled_terms(*evidence)
        return logsumexp(log_ratios - errors, axis=1)

    keys = jax.random.split(KEY, 5_000)
    ours, theirs = (
        jax.jit(jax.vmap(partial(gradient, bound)))(keys)
        for bound in (lambda *evidence: importance_weighted_bound(*evidence)[0], plain)
    )
    error = np.sqrt((np.var(ours, axis=0) + np.var(theirs, axis=0)) / len(keys))
    assert np.all(np.abs(np.mean(ours, axis=0) - np.mean(theirs, axis=0)) < 4 * error)
    assert np.all(np.abs(np.mean(theirs, axis=0)) > 10 * error)


def test_the_bound_is_the_elbo_with_one_sample_and_rises_with_more():
    encoder, decoder, params = a_tiny_vae()
    count, most = 4000, 8
    pixels = jnp.broadcast_to(every_binary_image()[5], (count, *SHAPE))

    @jax.jit
    def terms(epsilon):
        moments = posterior(encoder, params, pixels)
        z = reparameterize(*(moment[:, None] for moment in moments), epsilon)
        return *sampled_terms(decoder, params["decoder"], pixels, moments, z), kl_divergence(*moments)[0]

    errors, log_ratios, divergence = terms(jax.random.normal(KEY, (count, most, 1)))
    weights = np.asarray(log_ratios - errors, np.float64).ravel()
    means = [np.mean(np.log(np.mean(np.exp(weights.reshape(-1, k)), axis=1))) for k in (1, 2, 4, most)]
    error = np.std(weights) / math.sqrt(weights.size)
    assert means[0] == pytest.approx(-float(np.mean(errors) + divergence), abs=5 * error)
    assert np.all(np.diff(means) > 5 * error)


@pytest.mark.exhaustive
def test_the_binarized_test_images_follow_from_seed_and_place(monkeypatch):
    # A decoder that ignores its latents: the estimate counts the pixels that are 1, whatever the latents.
    how = {"image_shape": SHAPE, "latent_size": 1, "optimizer": optax.sgd(1.0), "binarized": True}
    method = vae(Encoder(2), Decoder(SHAPE), **how)
    state = fresh_state(method)
    params = jax.tree.map(jnp.zeros_like, state.network.params)
    params["decoder"]["output"]["bias"] = jnp.ones(4)
    state = state.replace(network=state.network.replace(params=params))
    grey = Dataset("grey", np.full((30, *SHAPE), 128, np.uint8), np.zeros(30, np.int32), ("grey",))

    def ones(**how):
        nats = held_out.negative_log_likelihood(method, state, grey, **how)
        return 30 * (4 * math.log(1 + math.e) - nats)

    drawn = ones(seed=0, samples=1)
    assert drawn == pytest.approx(round(drawn), abs=1e-3)
    monkeypatch.setattr(held_out, "LIKELIHOOD_BATCH", 10)
    assert ones(seed=0, samples=3) == pytest.approx(drawn, abs=1e-3)
    assert ones(seed=1, samples=1) != pytest.approx(drawn, abs=0.5)
