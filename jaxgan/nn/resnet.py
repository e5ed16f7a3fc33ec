"""Residual networks without normalization: blocks that start as the identity, and bilinear resampling between sizes.

The sizes are those of ``convnets.pyramid``, so 28 becomes 14, 7 and 4. At the smallest size a learned basis expands a
vector to all positions, or sums all positions to a vector. After Huang et al., The GAN is dead; long live the GAN! A
Modern GAN Baseline, 2024.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgan.nn.bilinear import Pair, pair
from jaxgan.nn.convnets import pyramid
from jaxgan.nn.initializers import Initialization, scaled_normal, unit_normal
from jaxgan.nn.layers import Conv, to_float32

SLOPE = 0.2  # slope of LeakyReLU below zero
GAIN = 2 / (1 + SLOPE**2)  # kernel variance that compensates for LeakyReLU


class Stage(NamedTuple):
    """The part of a network that works at one resolution."""

    size: Pair
    channels: int


@dataclass(frozen=True)
class Tower:
    """Options of both networks."""

    width: int = 32  # channels at full resolution; they double with every halving
    max_width: int = 256  # upper limit on the channels
    blocks: int = 1  # residual blocks per resolution
    expansion: int = 2  # ratio of the channels inside a block to those outside
    group_size: int = 16  # channels per group of a block's 3x3 convolution; with fewer channels, all of them
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    def stages(self, size: Pair) -> list[Stage]:
        """Lists the stages for images of a size, the largest first."""
        sizes = [size]
        for geometry in pyramid(size)[:-1]:
            sizes.append(geometry.down(sizes[-1]))
        return [Stage(reduced, min(self.width * 2**i, self.max_width)) for i, reduced in enumerate(sizes)]

    def groups(self, channels: int) -> int:
        """The number of groups of the 3x3 convolution in a block whose input has ``channels``."""
        return self.expansion * channels // min(self.group_size, self.expansion * channels)

    def linear(self, features: int, *, name: str) -> Conv:
        """Makes a 1x1 convolution that is not followed by an activation."""
        return Conv(features, (1, 1), (1, 1), (0, 0), False, False, scaled_normal(1.0), self.dtype, name=name)


class ResidualBlock(nn.Module):
    """An inverted bottleneck added to the identity: 1x1 expansion, grouped 3x3 convolution, 1x1 reduction.

    Fixup initialization replaces normalization. The last kernel starts at zero, so the block starts as the identity.
    The other kernels shrink with the number of blocks, so a step changes deep networks no more than shallow ones.

    References:
      Zhang et al., Fixup Initialization, 2019, section 3, for blocks with three layers.
    """

    tower: Tower  # the network's options
    depth: int  # blocks in the network

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        """Maps activations to activations of the same shape."""
        inside, dtype = self.tower.expansion * x.shape[-1], self.tower.dtype
        options = {"initialization": scaled_normal(GAIN / math.sqrt(self.depth)), "dtype": dtype}
        h = nn.leaky_relu(Conv(inside, (1, 1), **options, name="expand")(x), SLOPE)
        groups = self.tower.groups(x.shape[-1])
        h = nn.leaky_relu(Conv(inside, (3, 3), padding=(1, 1), groups=groups, **options, name="mix")(h), SLOPE)
        zero = {"initialization": scaled_normal(0.0), "dtype": dtype}
        return x + Conv(x.shape[-1], (1, 1), use_bias=False, **zero, name="reduce")(h)


class Basis(nn.Module):
    """A weight per position and channel, like a depthwise convolution whose kernel covers the image."""

    size: Pair  # height and width
    initialization: Initialization  # initializer of the weights
    dtype: DTypeLike | None = None  # compute dtype; None for the promoted dtype of inputs and parameters

    @nn.compact
    def __call__(self, x: Float[Array, "batch _ _ channels"]) -> Float[Array, "batch height width channels"]:
        """Multiplies activations of this size, or of one pixel, by the weights."""
        kernel = self.param("kernel", self.initialization.kernel, (*self.size, 1, x.shape[-1]))
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return x * kernel[:, :, 0]


class ResidualEncoder(nn.Module):
    """Maps images to vectors: the network of a discriminator."""

    features: int  # size of the vector
    tower: Tower = Tower()  # options

    norm = "none"  # so real and generated batches may be concatenated

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """Maps each image to its vector."""
        tower, stages = self.tower, self.tower.stages(pair(x.shape[1:3]))
        x = tower.linear(stages[0].channels, name="input")(x)
        for i, (size, channels) in enumerate(stages):
            x = resize(x, size)
            if channels != x.shape[-1]:
                x = tower.linear(channels, name=f"down_{i}")(x)
            for j in range(tower.blocks):
                x = ResidualBlock(tower, len(stages) * tower.blocks, name=f"stage_{i}_block_{j}")(x)
        x = Basis(stages[-1].size, scaled_normal(1.0), tower.dtype, name="basis")(x)
        x = jnp.sum(x, axis=(1, 2), keepdims=True)
        return to_float32(tower.linear(self.features, name="output")(x)[:, 0, 0])


class ResidualDecoder(nn.Module):
    """Maps vectors to images: the network of a generator."""

    image_shape: tuple[int, int, int]  # height, width and channels of an image
    tower: Tower = Tower()  # options

    @property
    def dtype(self) -> DTypeLike | None:
        """The compute dtype; None for that of the parameters."""
        return self.tower.dtype

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Maps each vector to an image of unbounded values."""
        tower, stages = self.tower, self.tower.stages(pair(self.image_shape[:2]))
        x = tower.linear(stages[-1].channels, name="input")(z[:, None, None])
        x = Basis(stages[-1].size, unit_normal(), tower.dtype, name="basis")(x)
        for i, (size, channels) in reversed(list(enumerate(stages))):
            if channels != x.shape[-1]:
                x = tower.linear(channels, name=f"up_{i}")(x)
            x = resize(x, size)
            for j in range(tower.blocks):
                x = ResidualBlock(tower, len(stages) * tower.blocks, name=f"stage_{i}_block_{j}")(x)
        return to_float32(tower.linear(self.image_shape[2], name="output")(x))


def resize(x: Float[Array, "batch _ _ channels"], size: Pair) -> Float[Array, "batch _ _ channels"]:
    """Resamples images by bilinear interpolation, with antialiasing when they shrink.

    It returns the values of ``jax.image.resize``, which the ONNX converter supports only for a known batch size.

    Args:
      x: images.
      size: their new height and width.

    Returns:
      The resized images. Constant images stay constant, including their edges.
    """
    if x.shape[1:3] == size:
        return x
    down, across = (jnp.asarray(triangles(*lengths), x.dtype) for lengths in zip(x.shape[1:3], size, strict=True))
    return jnp.einsum("Hh,Ww,bhwc->bHWc", down, across, x)


def triangles(length: int, other: int) -> Float[np.ndarray, "{other} {length}"]:
    """Interpolation weights between rows of two lengths: triangle filters, at least one pixel wide to each side."""
    centres = (np.arange(other)[:, None] + 0.5) * length / other - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(length) - centres) / max(1, length / other))
    return weights / weights.sum(axis=1, keepdims=True)
