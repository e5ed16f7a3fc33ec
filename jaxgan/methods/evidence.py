"""The evidence log p(x) of a latent variable model: the terms of its lower bounds, and an importance-weighted estimate.

Equation numbers are those of Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2016.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgan.methods.losses import cross_entropy
from jaxgan.methods.method import Module
from jaxgan.nn import noise

Images = Float[Array, "batch height width channels"]
Latents = Float[Array, "batch latent"]


def kl_divergence(mean: Latents, log_variance: Latents) -> Float[Array, " batch"]:
    """KL divergence of N(mean, variance) from N(0, I), in nats per image, summed over the latents.

    Args:
      mean: mean of each latent.
      log_variance: natural logarithm of each latent's variance.

    Returns:
      The sums of (mean^2 + variance - 1 - log variance) / 2.

    References:
      Kingma and Welling, Auto-Encoding Variational Bayes, 2014, appendix B.
    """
    return jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance, axis=1) / 2


def reparameterize(
    mean: Float[Array, "*batch latent"],
    log_variance: Float[Array, "*batch latent"],
    epsilon: Float[Array, "*samples latent"],
) -> Float[Array, "*samples latent"]:
    """Shifts and scales standard normal numbers, so that gradients flow through mean and variance."""
    return mean + jnp.exp(log_variance / 2) * epsilon


def posterior(
    encoder: Module, params: PyTree, pixels: Images, *labels: Int[Array, " batch"]
) -> tuple[Latents, Latents]:
    """Computes mean and log-variance of the latents from pixels in [0, 1], and labels if conditional."""
    mean, log_variance = jnp.split(encoder.apply({"params": params["encoder"]}, pixels, *labels), 2, axis=1)
    return mean, log_variance


def sampled_terms(
    decoder: Module,
    params: PyTree,
    pixels: Images,
    moments: tuple[Latents, Latents],
    z: Float[Array, "batch samples latent"],
    *labels: Int[Array, " batch"],
) -> tuple[Float[Array, "batch samples"], Float[Array, "batch samples"]]:
    """The terms of the log importance weight log p(x|z) + log p(z) - log q(z|x) for sampled latents of each image.

    Args:
      decoder: as in :func:`jaxgan.methods.vae.vae`.
      params: its parameters.
      pixels: values in [0, 1].
      moments: mean and log-variance of the posterior q of each image.
      z: latents of each image.
      *labels: class of each image, if conditional.

    Returns:
      -log p(x|z), and log p(z) - log q(z|x).
    """
    mean, log_variance = (moment[:, None] for moment in moments)
    samples = z.shape[1]
    repeated = [jnp.repeat(x, samples, axis=0) for x in (pixels, *labels)]
    logits = decoder.apply({"params": params}, z.reshape(-1, z.shape[2]), *repeated[1:])
    # Both densities have the factor (2 pi)^(-d/2), which cancels.
    log_ratio = jnp.sum(jnp.square(z - mean) * jnp.exp(-log_variance) + log_variance - jnp.square(z), axis=2) / 2
    return cross_entropy(logits, repeated[0]).reshape(-1, samples), log_ratio


def importance_weighted_bound(
    decoder: Module,
    params: PyTree,
    pixels: Images,
    moments: tuple[Latents, Latents],
    z: Float[Array, "batch samples latent"],
    *labels: Int[Array, " batch"],
) -> tuple[Float[Array, " batch"], Float[Array, "batch samples"]]:
    """The bound log mean exp of the log importance weights, with doubly reparameterized gradients.

    The plain gradient with respect to the encoder includes the gradient of log q(z|x) at fixed z, whose noise grows
    with the number of samples relative to the gradient. Reparameterized again, that term gives a gradient of the same
    expectation that flows through z alone, with squared normalized weights.

    Args:
      decoder: as in :func:`jaxgan.methods.vae.vae`.
      params: its parameters.
      pixels: values in [0, 1].
      moments: mean and log-variance of the posterior of each image.
      z: latents of each image, reparameterized samples of its posterior.
      *labels: class of each image, if conditional.

    Returns:
      The bound of each image in nats, and -log p(x|z), which has no gradients.

    References:
      Burda et al., equation 8; Tucker et al., Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives,
      2019.
    """

    def log_weights(params: PyTree, z: Array, mean: Latents, log_variance: Latents) -> tuple[Array, Array]:
        errors, log_ratios = sampled_terms(decoder, params, pixels, (mean, log_variance), z, *labels)
        return log_ratios - errors, errors

    @jax.custom_vjp
    def bound(*inputs: PyTree) -> tuple[Array, Array]:
        return forward(*inputs)[0]

    def forward(*inputs: PyTree) -> tuple[tuple[Array, Array], tuple]:
        weights, transposed, errors = jax.vjp(log_weights, *inputs, has_aux=True)
        return (logsumexp(weights, axis=1) - math.log(z.shape[1]), errors), (weights, transposed)

    def backward(kept: tuple, cotangents: tuple[Array, Array]) -> tuple[PyTree, ...]:
        weights, transposed = kept
        normalized = jax.nn.softmax(weights, axis=1)
        of_params, of_z, *of_moments = transposed(cotangents[0][:, None] * normalized)
        return of_params, normalized[..., None] * of_z, *map(jnp.zeros_like, of_moments)

    bound.defvjp(forward, backward)
    return bound(params, z, *moments)


def importance_weighted_log_likelihood(
    encoder: Module,
    decoder: Module,
    params: PyTree,
    pixels: Images,
    index: Int[Array, " batch"],
    key: Key[Array, ""],
    *labels: Int[Array, " batch"],
    samples: int,
) -> Float[Array, " batch"]:
    """Estimates log p(x) of each image by importance sampling from its posterior; a lower bound in expectation.

    With one sample it estimates the ELBO. Its expectation does not decrease with the number of samples, and converges
    to log p(x). A longer estimate starts with the samples of a shorter one. Memory does not grow with their number.

    Args:
      encoder: as in :func:`jaxgan.methods.vae.vae`.
      decoder: as in :func:`jaxgan.methods.vae.vae`.
      params: parameters by network.
      pixels: 0 or 1. Values in between have no likelihood; for them it estimates what their soft ELBO bounds.
      index: position of each image in the global batch, which determines its random numbers.
      key: key of the random numbers.
      *labels: class of each image, if conditional.
      samples: latents per image, K.

    Returns:
      Nats per image: log mean exp over K of log p(x|z) + log p(z) - log q(z|x).

    References:
      Burda et al., equation 8 and theorem 1.
    """
    moments = posterior(encoder, params, pixels, *labels)
    size = moments[0].shape[1]

    def add(k: Int[Array, ""], total: Float[Array, " batch"]) -> Float[Array, " batch"]:
        epsilon = noise.normal(noise.random_bits(jax.random.fold_in(key, k), index, count=size))
        z = reparameterize(*moments, epsilon)[:, None]
        error, log_ratio = sampled_terms(decoder, params["decoder"], pixels, moments, z, *labels)
        return jnp.logaddexp(total, (log_ratio - error)[:, 0])

    zero_likelihood = jnp.full(len(pixels), -jnp.inf, moments[0].dtype)
    return lax.fori_loop(0, samples, add, zero_likelihood) - math.log(samples)
