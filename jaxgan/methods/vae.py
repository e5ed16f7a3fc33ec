"""Variational autoencoders: the encoder returns a distribution of latents, and the decoder is a generator."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgan.errors import UserError
from jaxgan.fields import non_negative, number, probability, schedule_steps
from jaxgan.methods.autoencoder import encoder_and_decoder
from jaxgan.methods.evidence import (
    importance_weighted_bound,
    importance_weighted_log_likelihood,
    kl_divergence,
    posterior,
    reparameterize,
    sampled_terms,
)
from jaxgan.methods.losses import binarize, to_images, to_pixels
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
    conditioned,
    rows_by_class,
)
from jaxgan.methods.optimization import adam, cosine_decay, evaluate_objective, initialize, minimize
from jaxgan.methods.sampling import samples_of
from jaxgan.nn import noise
from jaxgan.nn.conditional import Conditional

Images = Float[Array, "batch height width channels"]
Latents = Float[Array, "batch latent"]
Labels = tuple[Int[Array, " batch"], ...]  # one array of labels, or none if unconditional

COLUMNS = 12  # images in a row of a figure
GRID = 20  # images per side of the manifold figure
IMPORTANCE_SAMPLES = 50  # default latents per image of the likelihood estimate


@dataclass(frozen=True)
class VAE:
    """The variational autoencoder: a prior on the latents makes its decoder a generator (Kingma & Welling 2014)."""

    title = "Variational autoencoder"

    encoder: Literal["mlp", "conv"] = "mlp"  # fully connected, or strided convolutions; the decoder mirrors it
    latent_size: int = number(20)  # size of the latent vector z
    hidden_layers: int = number(1)  # hidden layers of the mlp, in the encoder and in the decoder
    hidden_units: int = number(400)  # units in each hidden layer of the mlp
    activation: Literal["relu", "tanh"] = "relu"  # activation of the mlp
    width: int = number(32)  # channels of the first convolution of the conv encoder; they double from layer to layer
    beta: float = non_negative(1.0)  # weight of the KL divergence; 1 makes the loss the negative ELBO
    importance_samples: int = number(1)  # latents K per image in the loss; above 1 it is the IWAE bound
    targets: Literal["soft", "binarized"] = "soft"  # pixels as probabilities, or 0 and 1 drawn from these in each step
    conditional: bool = False  # condition both networks on the class of each image
    initialization: Literal["torch", "lecun", "dcgan"] = "torch"  # U(+-1/sqrt(fan_in)), LeCun normal, or N(0, 0.02)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of matrix products; all else stays float32
    learning_rate: float = non_negative(1e-3)  # initial Adam learning rate
    decay_steps: int = schedule_steps(0)  # steps of a cosine decay of the learning rate to 0; 0: constant
    beta1: float = probability(0.9)  # decay rate of Adam's first moment
    beta2: float = probability(0.999)  # decay rate of Adam's second moment
    ema_decay: float = probability(0.99)  # decay of the parameters' moving average, to evaluate and sample; 0: none


def build(
    config: VAE,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds the VAE; see :func:`jaxgan.methods.build`.

    Raises:
      UserError: if it is conditional without classes, or if beta is not 1 with several importance samples.
    """
    classes = conditioned(config.conditional, classes)
    if config.importance_samples > 1 and config.beta != 1:
        raise UserError(f"--beta: {config.beta:g} is not allowed with --importance-samples above 1, it must be 1")
    activation = {"relu": nn.relu, "tanh": jnp.tanh}[config.activation]
    encoder, decoder = encoder_and_decoder(config, image_shape, features=2 * config.latent_size, activation=activation)
    if classes:
        encoder = Conditional(encoder, classes, planes=config.encoder == "conv")
        decoder = Conditional(decoder, classes)
    return vae(
        encoder,
        decoder,
        image_shape=image_shape,
        latent_size=config.latent_size,
        classes=classes,
        optimizer=optimizer or adam(cosine_decay(config.learning_rate, config.decay_steps), config.beta1, config.beta2),
        beta=config.beta,
        importance_samples=config.importance_samples,
        binarized=config.targets == "binarized",
        ema_decay=config.ema_decay,
        axis_name=axis_name,
        accumulate=accumulate,
    )


def vae(
    encoder: Module,
    decoder: Module,
    *,
    image_shape: tuple[int, int, int],
    latent_size: int,
    optimizer: optax.GradientTransformation,
    classes: int = 0,
    beta: float = 1.0,
    importance_samples: int = 1,
    binarized: bool = False,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Method:
    """Builds a variational autoencoder with Bernoulli pixels and the prior N(0, I).

    Args:
      encoder: from pixels in [0, 1], and labels if conditional, to [batch, 2 latent_size], means and log-variances.
      decoder: from latents [batch, latent_size], and labels if conditional, to the logits of pixels.
      image_shape: height, width and channels of an image.
      latent_size: size of a latent vector.
      optimizer: optimizer of both networks.
      classes: number of classes to condition on; 0 if unconditional.
      beta: weight of the KL divergence in the loss.
      importance_samples: latents K per image. With one, the loss is the negative ELBO, with the KL divergence in closed
        form; with more, it is the negative importance-weighted bound, which ignores beta, with the gradients of
        :func:`jaxgan.methods.evidence.importance_weighted_bound`.
      binarized: whether encoder and loss use pixels of 0 and 1, drawn in each step with the pixel's value as the
        probability; otherwise they use the values.
      ema_decay: decay of the parameters' moving average, to evaluate and sample; 0 for none.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: number of parts that a device's batch is split into (gradient accumulation), to save memory.

    Returns:
      The method. Its metrics, all in nats per image, are the ``loss``, the ``reconstruction`` term, averaged over the
      latents drawn, the ``kl_divergence`` and ``negative_elbo``, their unweighted sum. Samples use only the decoder.

    References:
      Kingma and Welling, Auto-Encoding Variational Bayes, 2014, equation 10; Higgins et al., beta-VAE, 2017; Burda et
      al., Importance Weighted Autoencoders, 2016, equation 8; Sohn et al., Learning Structured Output Representation
      using Deep Conditional Generative Models, 2015, whose prior here does not depend on the label.
    """
    latent_words, pixel_words = importance_samples * latent_size, math.prod(image_shape)

    def labels_of(batch: Batch) -> Labels:
        return (batch.labels,) if classes else ()

    def objective(params: PyTree, batch: Batch, key: Key[Array, ""]) -> tuple[Float[Array, ""], Metrics]:
        bits = noise.random_bits(key, batch.index, count=latent_words + pixel_words * binarized)
        pixels = binarize(batch.images, bits[:, latent_words:]) if binarized else to_pixels(batch.images)
        moments = posterior(encoder, params, pixels, *labels_of(batch))
        epsilon = noise.normal(bits[:, :latent_words]).reshape(-1, importance_samples, latent_size)
        z = reparameterize(moments[0][:, None], moments[1][:, None], epsilon)
        evidence = decoder, params["decoder"], pixels, moments, z, *labels_of(batch)
        divergence = jnp.mean(kl_divergence(*moments))
        if importance_samples == 1:
            reconstruction = jnp.mean(sampled_terms(*evidence)[0])
            loss = reconstruction + beta * divergence
        else:
            bounds, errors = importance_weighted_bound(*evidence)
            reconstruction, loss = jnp.mean(errors), -jnp.mean(bounds)
        return loss, {
            "loss": loss,
            "negative_elbo": reconstruction + divergence,
            "reconstruction": reconstruction,
            "kl_divergence": divergence,
        }

    def decode(state: ModelState, z: Latents, *labels: Int[Array, " batch"]) -> Images:
        logits = decoder.apply({"params": state.eval_params["decoder"]}, z, *labels)
        return to_images(jax.nn.sigmoid(logits))

    def visualize(state: ModelState, batch: Batch, key: Key[Array, ""]) -> dict[str, Visualization]:
        labels = labels_of(batch)
        means, _ = posterior(encoder, state.eval_params, to_pixels(batch.images), *labels)
        shown = batch.images[:COLUMNS]
        restored = decode(state, means[:COLUMNS], *(x[:COLUMNS] for x in labels))
        title = "Held-out images, and the decoder's mean at the encoder's mean"
        figures: dict[str, Visualization] = {
            "reconstructions": Rows(title, {"input": shown, "reconstruction": restored})
        }
        if latent_size == 2:
            figures["latent_plane"] = Plane("Latent means of held-out images, by class", means, batch.labels)
        if classes:
            z = noise.standard_normal(key, COLUMNS, latent_size)
            figures["classes"] = rows_by_class(lambda label: decode(state, z, jnp.full(COLUMNS, label)), classes)
            return figures
        if rows := interpolations(partial(decode, state), batch, means):
            title = "From one held-out image to another, in equal steps of the latent mean"
            figures["interpolation"] = Rows(title, rows)
        if latent_size == 2:
            title = "The latent plane decoded at quantiles of N(0, 1), $z_1$ to the right and $z_2$ upwards"
            figures["manifold"] = Sheet(title, decode(state, quantile_grid(GRID)), GRID)
        return figures

    def log_likelihood(state: ModelState, batch: Batch, key: Key[Array, ""], samples: int) -> Float[Array, " batch"]:
        pixels_key, latents_key = jax.random.split(key)
        bits = noise.random_bits(pixels_key, batch.index, count=pixel_words)
        pixels = binarize(batch.images, bits) if binarized else to_pixels(batch.images)
        return importance_weighted_log_likelihood(
            encoder, decoder, state.eval_params, pixels, batch.index, latents_key, *labels_of(batch), samples=samples
        )

    def generator(state: ModelState) -> Generator:
        return Generator("decoder", latent_size, noise.PRIORS["normal"], 1.0, classes, partial(decode, state))

    networks = {"encoder": Network(encoder, image_shape), "decoder": Network(decoder, (latent_size,))}
    return Method(
        init=initialize(networks, optimizer, ema_decay=ema_decay),
        step=minimize(objective, optimizer, ema_decay=ema_decay, axis_name=axis_name, accumulate=accumulate),
        sample=samples_of(generator),
        evaluate=evaluate_objective(objective),
        likelihood=Likelihood(log_likelihood, IMPORTANCE_SAMPLES),
        visualize=visualize,
        classes=classes,
        generator=generator,
        networks=networks,
    )


def interpolations(
    decode: Callable[[Latents], Images], batch: Batch, means: Latents
) -> dict[str, Float[Array, "columns height width channels"]]:
    """Decodes the straight lines between images of different classes, with the images themselves at both ends.

    Args:
      decode: from latents to images.
      batch: examples; the first of each class is paired with the first of the next class.
      means: latent means of the examples.

    Returns:
      A row of images for each pair of classes, by label; empty if there is only one class.
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
