"""How much arithmetic a step has to do: its matrix products and convolutions, counted by hand.

All else is of lower order. A layer is counted by its multiplications for one example: n m for a dense layer from n to m
units; for a convolution, out_height out_width kernel_height kernel_width inputs outputs. This is the count of its map
forward, of the gradient of its weights and of that of its input alike, and a transposed convolution has the count of
the convolution it is the transpose of. Products with the zeros of a padding count too.

So a network with layers l costs sum(l) forward, sum(l) for its weights, and sum(l) for its inputs, of which the first
layer's is not needed unless somebody asks how the result changes with the image.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxgan.config import DCGAN, VAE, WGAN, VanillaGAN
from jaxgan.nn.convolutional import ladder

Shape = tuple[int, int, int]


def dense(sizes: Sequence[int]) -> list[int]:
    """Counts the multiplications of each layer of a fully connected network, for one example."""
    return [n * m for n, m in pairwise(sizes)]


def convolutional(image_shape: Shape, *, width: int, features: int) -> list[int]:
    """Counts the multiplications of each layer of the ladder from an image to a vector, or back, for one example.

    Args:
      image_shape: height, width and channels of an image.
      width: channels at half of its size.
      features: numbers in the vector.

    Returns:
      The counts, the layer at the image first.
    """
    *size, inputs = image_shape
    geometries, counts = ladder(tuple(size)), []
    for i, geometry in enumerate(geometries):
        outputs = width * 2**i if i < len(geometries) - 1 else features
        size = geometry.down(tuple(size))
        counts.append(math.prod(size) * math.prod(geometry.kernel_size) * inputs * outputs)
        inputs = outputs
    return counts


def discriminator_update(generator: Sequence[int], discriminator: Sequence[int]) -> int:
    """Counts an update of a discriminator: images of the generator; forward, weights and inputs for two batches."""
    d = sum(discriminator)
    return sum(generator) + 2 * (d + d + d - discriminator[0])


def generator_update(generator: Sequence[int], discriminator: Sequence[int]) -> int:
    """Counts an update of a generator: forward; through the discriminator and back to images; weights and inputs."""
    g, d = sum(generator), sum(discriminator)
    return g + d + d + g + g - generator[0]


def gradient_penalty(discriminator: Sequence[int], *, normalized: bool) -> int:
    """Counts the penalty on the slopes of a critic, and its gradient with respect to the critic's weights.

    The slopes take a pass forward, of which the last layer's result is not needed, and one back to the images. The
    pass back is a chain of maps, each bilinear in a kernel and in what came down to it, so its own gradient is a pass
    in the direction of the forward one (without the last layer, where the chain begins with ones) and a gradient for
    each kernel. A normalization also makes the chain depend on the activations of the forward pass; then their
    gradient goes back through that too, as in an ordinary update but without the last layer.

    Args:
      discriminator: multiplications of each layer for one example, the layer at the image first.
      normalized: whether there are normalizations between the layers.

    Returns:
      The count for one example.
    """
    d, first, last = sum(discriminator), discriminator[0], discriminator[-1]
    slopes = (d - last) + d
    chain = (d - last) + d
    activations = (d - last) + (d - last - first) if normalized else 0
    return slopes + chain + activations


def vanilla_gan(method: VanillaGAN, *, image_shape: Shape, batch_size: int) -> float:
    """Counts the floating-point operations of a step; a multiplication and an addition are two.

    Args:
      method: the method.
      image_shape: height, width and channels of an image.
      batch_size: images in a step.

    Returns:
      The count.
    """
    hidden, pixels = (method.hidden_units,) * method.hidden_layers, math.prod(image_shape)
    networks = dense((method.latent_size, *hidden, pixels)), dense((pixels, *hidden, 1))
    return 2.0 * batch_size * (discriminator_update(*networks) + generator_update(*networks))


def dcgan(method: DCGAN, *, image_shape: Shape, batch_size: int) -> float:
    """Counts the same for the DCGAN without penalties."""
    networks = _convolutional_pair(method, image_shape)
    return 2.0 * batch_size * (discriminator_update(*networks) + generator_update(*networks))


def wgan(method: WGAN, *, image_shape: Shape, batch_size: int) -> float:
    """Counts the same for the Wasserstein GAN, on average over the steps between two updates of the generator."""
    networks = _convolutional_pair(method, image_shape)
    penalty = gradient_penalty(networks[1], normalized=method.critic_norm != "none")
    critic = discriminator_update(*networks) + penalty * (method.constraint == "gradient-penalty")
    return 2.0 * batch_size * (critic + generator_update(*networks) / method.critic_steps)


def vae(method: VAE, *, image_shape: Shape, batch_size: int) -> float:
    """Counts the same for the fully connected VAE, whose encoder ends in means and log variances."""
    hidden, pixels = (method.hidden_units,) * method.hidden_layers, math.prod(image_shape)
    encoder = dense((pixels, *hidden, 2 * method.latent_size))
    both = sum(encoder) + sum(dense((method.latent_size, *hidden, pixels)))
    return 2.0 * batch_size * (3 * both - encoder[0])


def _convolutional_pair(method: DCGAN | WGAN, image_shape: Shape) -> tuple[list[int], list[int]]:
    """The layers of generator and discriminator, in the order in which they are applied."""
    generator = convolutional(image_shape, width=method.width, features=method.latent_size)[::-1]
    return generator, convolutional(image_shape, width=method.width, features=1)
