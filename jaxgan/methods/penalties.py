"""Penalties on the gradient of a discriminator's logit with respect to its image."""

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
    """A term added to the discriminator's loss."""

    name: str  # name of its metric
    bits: Callable[[int], int]  # from the size of an image to the random words per example
    # From (critic, real images, generated images, random words) to the penalty.
    value: Callable[[Critic, Images, Images, UInt32[Array, "batch words"]], Scalar]


def squared_norms(gradients: Images) -> Float[Array, " batch"]:
    """Squared Euclidean norm of each example's gradient, over all its pixels and channels."""
    return jnp.sum(jnp.square(gradients.reshape(len(gradients), -1)), axis=1)  # flat rows are summed fastest on CPU


def norms(gradients: Images) -> Float[Array, " batch"]:
    """Norm of each example's gradient; its derivative at 0 is 0, not infinite like that of a square root."""
    squares = squared_norms(gradients)
    zero = squares == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))


def zero_centred(gradients: Images) -> Scalar:
    """Half the mean squared norm, E[|g|^2] / 2."""
    return jnp.mean(squared_norms(gradients)) / 2


def one_centred(gradients: Images) -> Scalar:
    """The mean squared distance of norms to 1, E[(|g| - 1)^2]."""
    return jnp.mean(jnp.square(norms(gradients) - 1))


def input_gradients(critic: Critic, images: Images) -> Images:
    """The gradient of each image's logit with respect to that image.

    It differentiates the sum of all logits, which is equivalent unless batch statistics couple the images.
    """
    return jax.grad(lambda x: jnp.sum(critic(x)))(images)


def interpolate(real: Images, fake: Images, bits: UInt32[Array, "batch 1"]) -> Images:
    """A uniformly sampled point on the line between each pair of images."""
    fraction = ((noise.uniform(bits) + 1) / 2)[:, :, None, None]
    return real + fraction * (fake - real)


def r1(gamma: float) -> Penalty:
    """R1: gamma / 2 times the mean squared gradient norm at real images.

    References:
      Mescheder et al., Which Training Methods for GANs do actually Converge?, 2018, equation 9.
    """
    return Penalty(
        "r1_penalty",
        lambda pixels: 0,
        lambda critic, real, fake, bits: gamma * zero_centred(input_gradients(critic, real)),
    )


def r2(gamma: float) -> Penalty:
    """R2: gamma / 2 times the mean squared gradient norm at generated images.

    References:
      Mescheder et al., Which Training Methods for GANs do actually Converge?, 2018, equation 10.
    """
    return Penalty(
        "r2_penalty",
        lambda pixels: 0,
        lambda critic, real, fake, bits: gamma * zero_centred(input_gradients(critic, fake)),
    )


def gradient_penalty(weight: float) -> Penalty:
    """WGAN-GP: weight times the squared distance of gradient norms to 1, between pairs of images.

    References:
      Gulrajani et al., Improved Training of Wasserstein GANs, 2017, equation 3.
    """
    return Penalty(
        "gradient_penalty",
        lambda pixels: 1,
        lambda critic, real, fake, bits: weight * one_centred(input_gradients(critic, interpolate(real, fake, bits))),
    )


def dragan(weight: float, *, deviation: float = 0.5) -> Penalty:
    """DRAGAN: weight times the squared distance of gradient norms to 1, around real images.

    Args:
      weight: the paper's lambda.
      deviation: standard deviation of the normal noise that is added to each pixel, on the scale [-1, 1]; the authors'
        code adds uniform noise up to half the standard deviation of the batch.

    Returns:
      The penalty.

    References:
      Kodali et al., On Convergence and Stability of GANs, 2017, equation 1.
    """

    def value(critic: Critic, real: Images, fake: Images, bits: UInt32[Array, "batch words"]) -> Scalar:
        noisy = real + deviation * noise.normal(bits).reshape(real.shape)
        return weight * one_centred(input_gradients(critic, noisy))

    return Penalty("dragan_penalty", lambda pixels: pixels, value)
