"""The DCGAN with stock Flax layers, trained by the step and program of this package.

Parameters have the same names, shapes and meaning as in this package. Initial distributions and the biased running
variance are those of Flax.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array

from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.gan import gan
from jaxgan.methods.method import Method
from jaxgan.nn.convnets import pyramid
from jaxgan.nn.layers import EPSILON
from jaxgan.nn.noise import PRIORS


class Network(nn.Module):
    """A network with batch normalization that can be applied without recording statistics.

    ``nn.BatchNorm`` records statistics in every training pass, and raises if the collection is immutable. This class
    discards them instead, like the layers of this package.
    """

    @nn.nowrap
    def apply(self, variables: Any, *args: Any, mutable: Any = False, **keywords: Any) -> Any:
        """Applies the network."""
        result, recorded = super().apply(variables, *args, mutable=mutable or ["batch_stats"], **keywords)
        return (result, recorded) if mutable else result


def _normalized(x: Array, *, slope: float, train: bool, name: str) -> Array:
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=EPSILON, name=name)(x)
    return nn.leaky_relu(x, slope)


class Generator(Network):
    """Maps latents to images: upsampling pyramid, and tanh."""

    image_shape: tuple[int, int, int]
    width: int
    negative_slope: float

    @nn.compact
    def __call__(self, z: Array, *, train: bool = False) -> Array:
        """Maps each latent vector to an image."""
        *size, channels = self.image_shape
        x = z[:, None, None, :]
        for i, (kernel, strides, padding) in reversed(list(enumerate(pyramid(tuple(size))))):
            features, name = (self.width * 2 ** (i - 1), f"conv_{i}") if i else (channels, "output")
            around = [(k - 1 - p, k - 1 - p) for k, p in zip(kernel, padding, strict=True)]  # Flax pads the input
            layer = nn.ConvTranspose(
                features, kernel, strides, padding=around, use_bias=False, transpose_kernel=True, name=name
            )
            x = layer(x)
            if i:
                x = _normalized(x, slope=self.negative_slope, train=train, name=f"norm_{i}")
        return jnp.tanh(x)


class Discriminator(Network):
    """Maps images to logits: downsampling pyramid to one number."""

    width: int
    negative_slope: float

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """Computes a logit for each image."""
        *halvings, last = pyramid(x.shape[1:3])
        for i, (kernel, strides, padding) in enumerate(halvings):
            around = [(p, p) for p in padding]
            features, name = self.width * 2**i, f"conv_{i}"
            x = nn.Conv(features, kernel, strides, padding=around, use_bias=False, name=name)(x)
            if i:
                x = _normalized(x, slope=self.negative_slope, train=train, name=f"norm_{i}")
            else:
                x = nn.leaky_relu(x, self.negative_slope)
        return nn.Conv(1, last.kernel_size, padding="VALID", use_bias=False, name="output")(x)[:, 0, 0, 0]


def dcgan(config: DCGAN, *, image_shape: tuple[int, int, int]) -> Method:
    """Builds the DCGAN of a config, with its default loss, normalization and prior."""
    adam = partial(optax.adam, b1=config.beta1, b2=config.beta2)
    return gan(
        Generator(image_shape, config.width, config.negative_slope),
        Discriminator(config.width, config.negative_slope),
        image_shape=image_shape,
        latent_size=config.latent_size,
        prior=PRIORS["normal"],
        generator_optimizer=adam(config.generator_learning_rate),
        discriminator_optimizer=adam(config.discriminator_learning_rate),
    )
