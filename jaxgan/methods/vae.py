"""Variational autoencoders: an encoder of distributions, and a decoder that becomes a generator."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgan.fields import non_negative, number, probability
from jaxgan.methods.autoencoder import encoder_and_decoder
from jaxgan.methods.losses import binarize, cross_entropy, to_images, to_pixels
from jaxgan.methods.method import (
    Batch,
    Generator,
    Likelihood,
    Method,
    Metrics,
    ModelState,
    Module,
    Network,
    Plane,
    Rows,
    Sheet,
    Visualization,
)
from jaxgan.methods.optimization import adam, evaluate_objective, initialize, minimize
from jaxgan.nn import noise

Images = Float[Array, "batch height width channels"]
Latents = Float[Array, "batch latent"]

COLUMNS = 12  # images in a row of a figure
GRID = 20  # images on a side of the manifold
IMPORTANCE_SAMPLES = 50  # latents per image of the estimated likelihood


@dataclass(frozen=True)
class VAE:
    """The variational autoencoder: a prior on the latents makes its decoder a generator (Kingma & Welling 2014)."""

    title = "Variational autoencoder"

    encoder: Literal["mlp", "conv"] = "mlp"  # fully connected, or strided convolutions; the decoder mirrors it
    latent_size: int = number(20)  # numbers in the latent vector z
    hidden_layers: int = number(1)  # hidden layers of the mlp, each way
    hidden_units: int = number(400)  # units in each of them
    width: int = number(32)  # channels of the first convolution of the conv encoder; they double from layer to layer
    beta: float = non_negative(1.0)  # weight of the KL divergence; 1 makes the loss the negative ELBO
    targets: Literal["soft", "binarized"] = "soft"  # pixels as probabilities, or 0 and 1 drawn from them every step
    initialization: Literal["torch", "lecun", "dcgan"] = "torch"  # U(+-1/sqrt(fan_in)); LeCun normal; or N(0, 0.02)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # of matrix products; all else stays float32
    learning_rate: float = non_negative(1e-3)  # Adam step size
    beta1: float = probability(0.9)  # Adam decay of the gradient's mean
    beta2: float = probability(0.999)  # Adam decay of the squared gradient's mean
    ema_decay: float = probability(0.99)  # decay of the averaged parameters that evaluate and sample; 0: none


def build(
    config: VAE,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds the VAE; see :func:`jaxgan.methods.build`."""
    encoder, decoder = encoder_and_decoder(config, image_shape, features=2 * config.latent_size)
    return vae(
        encoder,
        decoder,
        image_shape=image_shape,
        latent_size=config.latent_size,
        optimizer=optimizer or adam(config.learning_rate, config.beta1, config.beta2),
        beta=config.beta,
        binarized=config.targets == "binarized",
        ema_decay=config.ema_decay,
        axis_name=axis_name,
        accumulate=accumulate,
    )


def kl_divergence(mean: Latents, log_variance: Latents) -> Float[Array, " batch"]:
    """KL divergence of N(mean, variance) from N(0, I), in nats per image, summed over the latents.

    Args:
      mean: of each latent.
      log_variance: natural logarithm of each latent's variance.

    Returns:
      The sums of (mean^2 + variance - 1 - log variance) / 2.

    References:
      Kingma and Welling, Auto-Encoding Variational Bayes, 2014, appendix B.
    """
    return jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance, axis=1) / 2


def reparameterize(mean: Latents, log_variance: Latents, epsilon: Latents) -> Latents:
    """Shifts and scales standard normal numbers, so that gradients flow through mean and variance."""
    return mean + jnp.exp(log_variance / 2) * epsilon


def vae(
    encoder: Module,
    decoder: Module,
    *,
    image_shape: tuple[int, int, int],
    latent_size: int,
    optimizer: optax.GradientTransformation,
    beta: float = 1.0,
    binarized: bool = False,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Method:
    """Builds a variational autoencoder with Bernoulli pixels and the prior N(0, I).

    Args:
      encoder: from pixels in [0, 1] to [batch, 2 latent_size], means and then log-variances.
      decoder: from latents [batch, latent_size] to the logits of pixels.
      image_shape: height, width and channels of an image.
      latent_size: numbers in a latent vector.
      optimizer: optimizer of both networks.
      beta: weight of the KL divergence in the loss.
      binarized: whether encoder and loss see pixels of 0 and 1, drawn anew in each step with the pixel's value as the
        probability; otherwise they see the values.
      ema_decay: decay of the averaged parameters that are evaluated and drawn from; 0 for none.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: parts that a device's batch is split into, one after the other, to take less memory.

    Returns:
      The method. Its metrics, all in nats per image, are the loss ``reconstruction + beta kl_divergence``, both terms,
      and ``negative_elbo``, their plain sum, with one sample of the latents per image. Samples use the decoder alone.

    References:
      Kingma and Welling, Auto-Encoding Variational Bayes, 2014, equation 10; Higgins et al., beta-VAE, 2017.
    """

    def objective(params: PyTree, batch: Batch, key: Key[Array, ""]) -> tuple[Float[Array, ""], Metrics]:
        pixel_words = math.prod(image_shape) if binarized else 0
        bits = noise.random_bits(key, batch.index, count=latent_size + pixel_words)
        pixels = binarize(batch.images, bits[:, latent_size:]) if binarized else to_pixels(batch.images)
        mean, log_variance = posterior(encoder, params, pixels)
        z = reparameterize(mean, log_variance, noise.normal(bits[:, :latent_size]))
        reconstruction = jnp.mean(cross_entropy(decoder.apply({"params": params["decoder"]}, z), pixels))
        divergence = jnp.mean(kl_divergence(mean, log_variance))
        loss = reconstruction + beta * divergence
        return loss, {
            "loss": loss,
            "negative_elbo": reconstruction + divergence,
            "reconstruction": reconstruction,
            "kl_divergence": divergence,
        }

    def decode(state: ModelState, z: Latents) -> Images:
        logits = decoder.apply({"params": state.eval_params["decoder"]}, z)
        return to_images(jax.nn.sigmoid(logits))

    def sample(state: ModelState, key: Key[Array, ""], count: int) -> Images:
        return decode(state, noise.normal(noise.random_bits(key, jnp.arange(count), count=latent_size)))

    def visualize(state: ModelState, batch: Batch, key: Key[Array, ""]) -> dict[str, Visualization]:
        means, _ = posterior(encoder, state.eval_params, to_pixels(batch.images))
        shown = batch.images[:COLUMNS]
        rows = {"input": shown, "reconstruction": decode(state, means[:COLUMNS])}
        title = "Held-out images, and the decoder's mean at the encoder's mean"
        found: dict[str, Visualization] = {"reconstructions": Rows(title, rows)}
        if rows := interpolations(lambda z: decode(state, z), batch, means):
            title = "From one held-out image to another, in equal steps of the latent mean"
            found["interpolation"] = Rows(title, rows)
        if latent_size == 2:
            title = "The latent plane decoded at quantiles of N(0, 1), $z_1$ to the right and $z_2$ upwards"
            found["manifold"] = Sheet(title, decode(state, quantile_grid(GRID)), GRID)
            found["latent_plane"] = Plane("Latent means of held-out images, by class", means, batch.labels)
        return found

    def log_likelihood(state: ModelState, batch: Batch, key: Key[Array, ""]) -> Float[Array, " batch"]:
        pixels_key, latents_key = jax.random.split(key)
        bits = noise.random_bits(pixels_key, batch.index, count=math.prod(image_shape))
        pixels = binarize(batch.images, bits) if binarized else to_pixels(batch.images)
        return importance_weighted_log_likelihood(
            encoder, decoder, state.eval_params, pixels, batch.index, latents_key, samples=IMPORTANCE_SAMPLES
        )

    def generator(state: ModelState) -> Generator:
        return Generator("decoder", latent_size, noise.PRIORS["normal"], 1.0, 0, lambda z: decode(state, z))

    networks = {"encoder": Network(encoder, image_shape), "decoder": Network(decoder, (latent_size,))}
    return Method(
        init=initialize(networks, optimizer, ema_decay=ema_decay),
        step=minimize(objective, optimizer, ema_decay=ema_decay, axis_name=axis_name, accumulate=accumulate),
        sample=sample,
        evaluate=evaluate_objective(objective),
        likelihood=Likelihood(log_likelihood, IMPORTANCE_SAMPLES),
        visualize=visualize,
        generator=generator,
        networks=networks,
    )


def posterior(encoder: Module, params: PyTree, pixels: Images) -> tuple[Latents, Latents]:
    """Mean and log-variance of the latents, given pixels in [0, 1]."""
    mean, log_variance = jnp.split(encoder.apply({"params": params["encoder"]}, pixels), 2, axis=1)
    return mean, log_variance


def importance_weighted_log_likelihood(
    encoder: Module,
    decoder: Module,
    params: PyTree,
    pixels: Images,
    index: Int[Array, " batch"],
    key: Key[Array, ""],
    *,
    samples: int,
) -> Float[Array, " batch"]:
    """Estimates log p(x) of each image by importance sampling from its posterior, in expectation from below.

    With one sample it is an estimate of the ELBO. Its expectation does not fall as samples are added, and tends to
    log p(x). The first samples of a longer estimate are those of a shorter one, and memory does not grow with them.

    Args:
      encoder: as in :func:`vae`.
      decoder: as in :func:`vae`.
      params: parameters by network.
      pixels: 0 or 1. Values between have no likelihood; for them it estimates what their soft ELBO bounds.
      index: what each image's random numbers depend on.
      key: what all of them depend on.
      samples: latents per image, K.

    Returns:
      Nats per image: log mean exp over K of log p(x|z) + log p(z) - log q(z|x).

    References:
      Burda et al., Importance Weighted Autoencoders, 2016, equation 8 and theorem 1.
    """
    mean, log_variance = posterior(encoder, params, pixels)

    def add(k: Int[Array, ""], total: Float[Array, " batch"]) -> Float[Array, " batch"]:
        epsilon = noise.normal(noise.random_bits(jax.random.fold_in(key, k), index, count=mean.shape[1]))
        z = reparameterize(mean, log_variance, epsilon)
        # Both densities have the factor (2 pi)^(-d/2), which cancels.
        log_ratio = jnp.sum(jnp.square(epsilon) + log_variance - jnp.square(z), axis=1) / 2
        return jnp.logaddexp(total, log_ratio - cross_entropy(decoder.apply({"params": params["decoder"]}, z), pixels))

    nothing = jnp.full(len(pixels), -jnp.inf, mean.dtype)
    return lax.fori_loop(0, samples, add, nothing) - math.log(samples)


def interpolations(
    decode: Callable[[Latents], Images], batch: Batch, means: Latents
) -> dict[str, Float[Array, "columns height width channels"]]:
    """Decodes the straight lines between images of different classes, with the images themselves at both ends.

    Args:
      decode: from latents to images.
      batch: examples; the first of each class is taken, and paired with that of the next class.
      means: latent means of the examples.

    Returns:
      A row of images for each pair of classes, by label; none if there is only one class.
    """
    classes, first = jnp.unique(batch.labels, return_index=True)
    rows = {}
    for a, b in zip(range(0, len(classes) - 1, 2), range(1, len(classes), 2), strict=True):
        start, stop = first[a], first[b]
        between = decode(jnp.linspace(means[start], means[stop], COLUMNS - 2))
        ends = batch.images[start][None], batch.images[stop][None]
        rows[f"{classes[a]} to {classes[b]}"] = jnp.concatenate([ends[0], between, ends[1]])
    return rows


def quantile_grid(count: int) -> Float[Array, "points 2"]:
    """Latents of equal probability under N(0, I) in the plane, row by row from the highest z_2."""
    quantiles = ndtri((jnp.arange(count) + 0.5) / count)
    z_2, z_1 = jnp.meshgrid(quantiles[::-1], quantiles, indexing="ij")
    return jnp.stack([z_1.ravel(), z_2.ravel()], axis=1)
