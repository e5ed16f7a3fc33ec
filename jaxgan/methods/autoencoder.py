"""Autoencoders: images squeezed through a few numbers, held against the best that a linear one can do."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key, PyTree

from jaxgan.methods.descent import descent, initializer, measure
from jaxgan.methods.exhibits import Exhibit, Plane, Rows
from jaxgan.methods.method import Batch, Method, Metrics, Pixels
from jaxgan.methods.reconstruction import cross_entropy, squared_error, to_images, to_pixels
from jaxgan.methods.state import AutoencoderState
from jaxgan.nn import noise

Images = Float[Array, "batch height width channels"]
Latents = Float[Array, "batch latent"]

COLUMNS = 12  # images in a row of an exhibit
AT_ONCE = 10_000  # images whose moments are taken together


def autoencoder(
    encoder: nn.Module,
    decoder: nn.Module,
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
      latent_size: numbers in a code.
      optimizer: optimizer of both networks.
      bernoulli: whether the loss is the cross-entropy of pixels, in nats per image, and the decoder's values are their
        logits. Otherwise the values are the pixels, for every encoder alike, and the loss is their squared error: with
        a sigmoid before it a convolutional decoder spends its first epoch on black images.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: parts that a device's batch is split into, one after the other, to take less memory.

    Returns:
      The method. Its metrics are the ``loss`` and the ``squared_error``, a mean over pixels in [0, 1], and
      ``cross_entropy`` if that is the loss. It samples as if its codes were N(0, I), which nothing makes them.
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

    def draw(state: AutoencoderState, z: Latents) -> Images:
        return to_images(pixels_of(decode(state.network.params, z)))

    def standard_normal(key: Key[Array, ""], count: int) -> Latents:
        return noise.normal(noise.words(key, jnp.arange(count), count=latent_size))

    def sample(state: AutoencoderState, key: Key[Array, ""], count: int) -> Images:
        return draw(state, standard_normal(key, count))

    def exhibits(state: AutoencoderState, batch: Batch, key: Key[Array, ""]) -> dict[str, Exhibit]:
        codes, shown = encode(state.network.params, batch.images), batch.images[:COLUMNS]
        z = standard_normal(key, COLUMNS)
        restored = {"input": shown, "reconstruction": draw(state, codes[:COLUMNS])}
        decoded = {
            "z from N(0, I)": draw(state, z),
            "z from fitted Gaussian": draw(state, colour(z, codes)),
            "held-out images": shown,
        }
        found = {
            "reconstructions": Rows("Held-out images and what is restored of them", restored),
            "decoded_noise": Rows("No generative model: decoded noise beside real images", decoded),
        }
        if latent_size == 2:
            found["latent_plane"] = Plane("Codes of held-out images, by class", codes, batch.labels)
        return found

    def baseline(train: Pixels, held_out: Pixels) -> dict[str, float]:
        error = pca_squared_error(train, held_out, components=latent_size)
        return {"test_pca_squared_error": float(f"{error:.9g}")}  # the last digits depend on the number of threads

    networks = {"encoder": (encoder, image_shape), "decoder": (decoder, (latent_size,))}
    return Method(
        init=initializer(networks, optimizer),
        step=descent(objective, optimizer, axis_name=axis_name, accumulate=accumulate),
        sample=sample,
        evaluate=measure(objective),
        baseline=baseline,
        exhibits=exhibits,
    )


def colour(z: Latents, codes: Float[Array, "n latent"]) -> Latents:
    """Takes latents from N(0, I) to the Gaussian with the mean and the covariance of some codes."""
    variances, axes = jnp.linalg.eigh(jnp.cov(codes, rowvar=False).reshape(codes.shape[1], -1))
    return jnp.mean(codes, axis=0) + (z * jnp.sqrt(jnp.maximum(variances, 0))) @ axes.T


def pca_squared_error(train: Pixels, held_out: Pixels, *, components: int) -> float:
    """Measures what principal components of the training images leave of held-out ones: the mark of a linear code.

    On the training images themselves no affine code of the same size leaves less.

    Args:
      train: images as bytes, which give the mean and the components.
      held_out: images as bytes, which are restored from them.
      components: numbers kept of each image.

    Returns:
      The squared error, a mean over images and pixels on the scale [0, 1].

    References:
      Baldi and Hornik, Neural Networks and Principal Component Analysis, 1989: the one minimum of a linear code.
    """
    mean = train.reshape(len(train), -1).mean(axis=0) / 255
    _, axes = np.linalg.eigh(second_moments(train, mean))
    kept, moments = axes[:, -components:], second_moments(held_out, mean)
    return max(0.0, float(np.trace(moments) - np.sum(kept * (moments @ kept)))) / math.prod(train.shape[1:])


def second_moments(images: Pixels, centre: Float[np.ndarray, " pixels"]) -> Float[np.ndarray, "pixels pixels"]:
    """Mean products of any two pixels, on the scale [0, 1] and counted from a centre, in double precision."""
    total = np.zeros((len(centre), len(centre)))
    for start in range(0, len(images), AT_ONCE):
        part = images[start : start + AT_ONCE]
        x = part.reshape(len(part), -1) / 255 - centre
        total += x.T @ x
    return total / len(images)
