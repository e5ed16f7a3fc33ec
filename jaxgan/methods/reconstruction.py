"""How far an image is from what was restored of it, where a pixel is a number in [0, 1], the probability of being 1."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from jaxgan.nn import noise

Images = Float[Array, "batch height width channels"]


def to_pixels(images: Images) -> Images:
    """Takes images from [-1, 1] to [0, 1]."""
    return (images + 1) / 2


def to_images(pixels: Images) -> Images:
    """Takes pixels from [0, 1] to [-1, 1], and those beyond to the nearer end."""
    return jnp.clip(2 * pixels - 1, -1, 1)


def binarize(images: Images, bits: UInt32[Array, "batch pixels"]) -> Images:
    """Draws each pixel, 0 or 1, with its own value as the probability of 1.

    Args:
      images: values in [-1, 1].
      bits: random words, one a pixel.

    Returns:
      Pixels that are 0 or 1.
    """
    return (noise.uniform(bits).reshape(images.shape) < images).astype(images.dtype)


def squared_error(restored: Images, pixels: Images) -> Float[Array, " batch"]:
    """Squared error of each image, averaged over its pixels."""
    return jnp.mean(jnp.square(_rows(restored) - _rows(pixels)), axis=1)


def cross_entropy(logits: Images, pixels: Images) -> Float[Array, " batch"]:
    """Bernoulli cross-entropy of each image, in nats, summed over its pixels.

    Args:
      logits: of the probability that a pixel is 1.
      pixels: values in [0, 1]; those between the ends count as that share of ones, with no further normaliser.

    Returns:
      The sums of -x log p - (1 - x) log(1 - p) = softplus(l) - x l, which no logit overflows.
    """
    logits, pixels = _rows(logits), _rows(pixels)
    return jnp.sum(jax.nn.softplus(logits) - pixels * logits, axis=1)


def _rows(images: Images) -> Float[Array, "batch numbers"]:
    """Flattens each image: with an axis for one channel last, XLA's CPU backend sums several times more slowly."""
    return images.reshape(len(images), -1)
