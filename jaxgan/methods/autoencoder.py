"""Autoencoders: compress images to short codes; the baseline is principal component analysis, the best linear code."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key, PyTree

from jaxgan.fields import non_negative, number, probability
from jaxgan.methods.losses import cross_entropy, squared_error, to_images, to_pixels
from jaxgan.methods.method import (
    Batch,
    Generator,
    Method,
    Metrics,
    ModelState,
    Module,
    Network,
    Pixels,
    Plane,
    Rows,
    Visualization,
)
from jaxgan.methods.optimization import adam, evaluate_objective, initialize, minimize
from jaxgan.methods.sampling import samples_of
from jaxgan.nn import noise
from jaxgan.nn.convnets import ConvDecoder, ConvEncoder
from jaxgan.nn.initializers import INITIALIZATIONS
from jaxgan.nn.layers import COMPUTE_DTYPES
from jaxgan.nn.mlp import Decoder, Encoder

Images = Float[Array, "batch height width channels"]
Latents = Float[Array, "batch latent"]

COLUMNS = 12  # images in a row of a figure
MOMENTS_BATCH = 10_000  # batch size of the second moments


@dataclass(frozen=True)
class Autoencoder:
    """Compresses images to short codes and reconstructs them; not a generative model, and its figures show why."""

    title = "Autoencoder"

    encoder: Literal["linear", "mlp", "conv"] = "mlp"  # one linear layer, dense layers, or strided convolutions
    latent_size: int = number(32)  # size of a code
    hidden_layers: int = number(2)  # hidden layers of the mlp, in the encoder and in the decoder
    hidden_units: int = number(400)  # units in each hidden layer of the mlp
    width: int = number(32)  # channels of the first convolution of the conv encoder; they double from layer to layer
    loss: Literal["mse", "bernoulli"] = "mse"  # squared error, or cross-entropy of pixels as probabilities
    initialization: Literal["torch", "lecun", "dcgan"] = "torch"  # U(+-1/sqrt(fan_in)), LeCun normal, or N(0, 0.02)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of matrix products; all else stays float32
    learning_rate: float = non_negative(1e-3)  # Adam learning rate
    beta1: float = probability(0.9)  # decay rate of Adam's first moment
    beta2: float = probability(0.999)  # decay rate of Adam's second moment


def build(
    config: Autoencoder,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds the autoencoder; see :func:`jaxgan.methods.build`."""
    encoder, decoder = encoder_and_decoder(config, image_shape, features=config.latent_size)
    return autoencoder(
        encoder,
        decoder,
        image_shape=image_shape,
        latent_size=config.latent_size,
        optimizer=optimizer or adam(config.learning_rate, config.beta1, config.beta2),
        bernoulli=config.loss == "bernoulli",
        axis_name=axis_name,
        accumulate=accumulate,
    )


def encoder_and_decoder(
    config: Any, image_shape: tuple[int, int, int], *, features: int, activation: Callable[[Array], Array] = nn.relu
) -> tuple[nn.Module, nn.Module]:
    """Makes the encoder and the decoder of an autoencoder or a variational autoencoder.

    Args:
      config: gives their kind, width and depth.
      image_shape: height, width and channels of an image.
      features: size of the encoder's output.
      activation: activation of the hidden layers of the mlp.

    Returns:
      The encoder, and the decoder that mirrors it.
    """
    weights = {
        "initialization": INITIALIZATIONS[config.initialization](),
        "dtype": COMPUTE_DTYPES[config.compute_dtype],
    }
    if config.encoder == "conv":
        pyramid = {"width": config.width, "bias": True, "norm": "none", **weights}
        return ConvEncoder(features, **pyramid), ConvDecoder(image_shape, **pyramid)
    units = () if config.encoder == "linear" else (config.hidden_units,) * config.hidden_layers
    weights["activation"] = activation
    return Encoder(features, units, **weights), Decoder(image_shape, units, **weights)


def autoencoder(
    encoder: Module,
    decoder: Module,
    *,
    image_shape: tuple[int, int, int],
    latent_size: int,
    optimizer: optax.GradientTransformation,
    bernoulli: bool = False,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Method:
    """Builds an autoencoder.

    Args:
      encoder: from pixels in [0, 1] to codes [batch, latent_size].
      decoder: from codes to images of unbounded values.
      image_shape: height, width and channels of an image.
      latent_size: size of a code.
      optimizer: optimizer of both networks.
      bernoulli: whether the loss is the cross-entropy of pixels, in nats per image, and the decoder's values are their
        logits. Otherwise the values are the pixels, and the loss is their squared error. (After a sigmoid, the squared
        error would keep a convolutional decoder at black images for its first epoch.)
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: number of parts that a device's batch is split into (gradient accumulation), to save memory.

    Returns:
      The method. Its metrics are the ``loss``, the ``squared_error``, a mean over pixels in [0, 1], and the
      ``cross_entropy`` if that is the loss. It samples codes from N(0, I), which is not their distribution.
    """
    pixels_of = jax.nn.sigmoid if bernoulli else lambda values: values

    def decode(params: PyTree, z: Latents) -> Images:
        return decoder.apply({"params": params["decoder"]}, z)

    def encode(params: PyTree, images: Images) -> Latents:
        return encoder.apply({"params": params["encoder"]}, to_pixels(images))

    def objective(params: PyTree, batch: Batch, key: Key[Array, ""]) -> tuple[Float[Array, ""], Metrics]:
        pixels, values = to_pixels(batch.images), decode(params, encode(params, batch.images))
        error = jnp.mean(squared_error(pixels_of(values), pixels))
        if not bernoulli:
            return error, {"loss": error, "squared_error": error}
        loss = jnp.mean(cross_entropy(values, pixels))
        return loss, {"loss": loss, "cross_entropy": loss, "squared_error": error}

    def draw(state: ModelState, z: Latents) -> Images:
        return to_images(pixels_of(decode(state.network.params, z)))

    def visualize(state: ModelState, batch: Batch, key: Key[Array, ""]) -> dict[str, Visualization]:
        codes, shown = encode(state.network.params, batch.images), batch.images[:COLUMNS]
        z = noise.standard_normal(key, COLUMNS, latent_size)
        restored = {"input": shown, "reconstruction": draw(state, codes[:COLUMNS])}
        decoded = {
            "z from N(0, I)": draw(state, z),
            "z from fitted Gaussian": draw(state, match_moments(z, codes)),
            "held-out images": shown,
        }
        figures: dict[str, Visualization] = {
            "reconstructions": Rows("Held-out images and their reconstructions", restored),
            "decoded_noise": Rows("Not a generative model: decoded noise beside real images", decoded),
        }
        if latent_size == 2:
            figures["latent_plane"] = Plane("Codes of held-out images, by class", codes, batch.labels)
        return figures

    def baseline(train: Pixels, held_out: Pixels) -> dict[str, float]:
        error = pca_squared_error(train, held_out, components=latent_size)
        return {"test_pca_squared_error": float(f"{error:.9g}")}  # the last digits depend on the number of threads

    def generator(state: ModelState) -> Generator:
        return Generator("decoder", latent_size, noise.PRIORS["normal"], 1.0, 0, lambda z: draw(state, z))

    networks = {"encoder": Network(encoder, image_shape), "decoder": Network(decoder, (latent_size,))}
    return Method(
        init=initialize(networks, optimizer),
        step=minimize(objective, optimizer, axis_name=axis_name, accumulate=accumulate),
        sample=samples_of(generator),
        evaluate=evaluate_objective(objective),
        baseline=baseline,
        visualize=visualize,
        generator=generator,
        networks=networks,
    )


def match_moments(z: Latents, codes: Float[Array, "n latent"]) -> Latents:
    """Maps latents from N(0, I) to the Gaussian with the mean and covariance of the codes."""
    variances, axes = jnp.linalg.eigh(jnp.cov(codes, rowvar=False).reshape(codes.shape[1], -1))
    return jnp.mean(codes, axis=0) + (z * jnp.sqrt(jnp.maximum(variances, 0))) @ axes.T


def pca_squared_error(train: Pixels, held_out: Pixels, *, components: int) -> float:
    """Squared error of held-out images reconstructed from principal components of the training images.

    On the training images themselves no affine code of the same size has a smaller error.

    Args:
      train: uint8 images, which give the mean and the components.
      held_out: uint8 images to reconstruct.
      components: number of components, the size of a code.

    Returns:
      The squared error, a mean over images and pixels on the scale [0, 1].

    References:
      Baldi and Hornik, Neural Networks and Principal Component Analysis, 1989: it is the only minimum of a linear code.
    """
    mean = train.reshape(len(train), -1).mean(axis=0) / 255
    _, axes = np.linalg.eigh(second_moments(train, mean))
    kept, moments = axes[:, -components:], second_moments(held_out, mean)
    return max(0.0, float(np.trace(moments) - np.sum(kept * (moments @ kept)))) / math.prod(train.shape[1:])


def second_moments(images: Pixels, centre: Float[np.ndarray, " pixels"]) -> Float[np.ndarray, "pixels pixels"]:
    """Computes the second moments of pixels in [0, 1] about a centre, in double precision."""
    total = np.zeros((len(centre), len(centre)))
    for start in range(0, len(images), MOMENTS_BATCH):
        part = images[start : start + MOMENTS_BATCH]
        x = part.reshape(len(part), -1) / 255 - centre
        total += x.T @ x
    return total / len(images)
