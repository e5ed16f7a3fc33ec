"""Penalties on how steeply a discriminator's logit changes with its image."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from jaxgan.nn import noise

Images = Float[Array, "batch height width channels"]
Critic = Callable[[Images], Float[Array, " batch"]]
Scalar = Float[Array, ""]


class Penalty(NamedTuple):
    """A term added to the discriminator's loss.

    Attributes:
      name: what the metrics call it.
      words: from the numbers in an image to the random words it takes an example.
      value: from (critic, real images, generated images, words) to the penalty.
    """

    name: str
    words: Callable[[int], int]
    value: Callable[[Critic, Images, Images, UInt32[Array, "batch words"]], Scalar]


def squared_norms(gradients: Images) -> Float[Array, " batch"]:
    """Squared Euclidean norm of each example's gradient, over all its pixels and channels."""
    return jnp.sum(jnp.square(gradients.reshape(len(gradients), -1)), axis=1)  # flat rows are summed fastest on CPU


def norms(gradients: Images) -> Float[Array, " batch"]:
    """Norm of each example's gradient, itself with gradient 0 where that is 0 (a square root's would be infinite)."""
    squares = squared_norms(gradients)
    flat = squares == 0
    return jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, squares)))


def zero_centred(gradients: Images) -> Scalar:
    """Half the mean squared norm, E[|g|^2] / 2."""
    return jnp.mean(squared_norms(gradients)) / 2


def one_centred(gradients: Images) -> Scalar:
    """The mean squared distance of norms to 1, E[(|g| - 1)^2]."""
    return jnp.mean(jnp.square(norms(gradients) - 1))


def slopes(critic: Critic, images: Images) -> Images:
    """The gradient of each image's logit with respect to that image.

    That of the sum of all logits, which is the same unless batch statistics tie the images together.
    """
    return jax.grad(lambda x: jnp.sum(critic(x)))(images)


def interpolate(real: Images, fake: Images, bits: UInt32[Array, "batch 1"]) -> Images:
    """Points on the lines between pairs of images, one example each, uniformly drawn by a word each."""
    share = ((noise.uniform(bits) + 1) / 2)[:, :, None, None]
    return real + share * (fake - real)


def r1(gamma: float) -> Penalty:
    """Gamma / 2 times the mean squared slope at real images (Mescheder et al. 2018, equation 9)."""
    return Penalty(
        "r1_penalty", lambda pixels: 0, lambda critic, real, fake, bits: gamma * zero_centred(slopes(critic, real))
    )


def r2(gamma: float) -> Penalty:
    """Gamma / 2 times the mean squared slope at generated images (Mescheder et al. 2018, equation 10)."""
    return Penalty(
        "r2_penalty", lambda pixels: 0, lambda critic, real, fake, bits: gamma * zero_centred(slopes(critic, fake))
    )


def gradient_penalty(weight: float) -> Penalty:
    """Weight times the squared distance of slopes to 1, between pairs of images (Gulrajani et al. 2017, equation 3)."""
    return Penalty(
        "gradient_penalty",
        lambda pixels: 1,
        lambda critic, real, fake, bits: weight * one_centred(slopes(critic, interpolate(real, fake, bits))),
    )


def dragan(weight: float, *, deviation: float = 0.5) -> Penalty:
    """Weight times the squared distance of slopes to 1, around real images (Kodali et al. 2017, equation 1).

    Args:
      weight: the paper's lambda.
      deviation: of the normal noise that is added to each pixel, on the scale [-1, 1]; the authors' code adds uniform
        noise up to half of the batch's deviation.

    Returns:
      The penalty.
    """

    def value(critic: Critic, real: Images, fake: Images, bits: UInt32[Array, "batch words"]) -> Scalar:
        return weight * one_centred(slopes(critic, real + deviation * noise.normal(bits).reshape(real.shape)))

    return Penalty("dragan_penalty", lambda pixels: pixels, value)
