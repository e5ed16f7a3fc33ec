"""Residual networks without normalization: blocks that start as the identity, and bilinear resampling between sizes.

The sizes are those of ``convnets.pyramid``, so 28 becomes 14, 7 and 4. At the smallest one an image meets its vector:
a learned basis spreads it over all places, or sums them up. After Huang et al., The GAN is dead; long live the GAN! A
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

SLOPE = 0.2  # of LeakyReLU below zero
GAIN = 2 / (1 + SLOPE**2)  # the variance that makes up for what LeakyReLU takes away


class Stage(NamedTuple):
    """Activations of one size."""

    size: Pair
    channels: int


@dataclass(frozen=True)
class Tower:
    """What both networks have in common."""

    width: int = 32  # channels at the image's full size; they double with every halving
    max_width: int = 256  # at most so many channels
    blocks: int = 1  # residual blocks at each size
    expansion: int = 2  # times as many channels inside of a block
    group_size: int = 16  # channels of a group of its middle convolution; all of them where they are fewer
    dtype: DTypeLike | None = None  # of matrix products; None for the parameters' own type

    def stages(self, size: Pair) -> list[Stage]:
        """Lists the stages of images of a size, the largest first."""
        sizes = [size]
        for geometry in pyramid(size)[:-1]:
            sizes.append(geometry.down(sizes[-1]))
        return [Stage(each, min(self.width * 2**i, self.max_width)) for i, each in enumerate(sizes)]

    def groups(self, channels: int) -> int:
        """Groups of the middle convolution of a block with so many channels outside."""
        return self.expansion * channels // min(self.group_size, self.expansion * channels)

    def linear(self, features: int, *, name: str) -> Conv:
        """Makes a layer that maps the channels of each pixel, and that nothing else follows."""
        return Conv(features, (1, 1), (1, 1), (0, 0), False, False, scaled_normal(1.0), self.dtype, name=name)


class ResidualBlock(nn.Module):
    """An inverted bottleneck added to the identity: more channels, a convolution of groups of them, and back.

    Fix-up initialization takes the place of normalization. The last convolution starts at zero, so the block as the
    identity. The others are the smaller the more blocks there are, so that a step moves deep networks no further.

    References:
      Zhang et al., Fixup Initialization, 2019, section 3, of blocks with three layers.
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
    """A weight for each place and channel, as of a convolution in groups of one channel that covers the image."""

    size: Pair  # height and width
    initialization: Initialization  # distribution of the weights
    dtype: DTypeLike | None = None  # of the product; None for that of inputs and parameters, whichever is wider

    @nn.compact
    def __call__(self, x: Float[Array, "batch _ _ channels"]) -> Float[Array, "batch height width channels"]:
        """Multiplies activations of this size, or of one pixel, by the weights."""
        kernel = self.param("kernel", self.initialization.kernel, (*self.size, 1, x.shape[-1]))
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return x * kernel[:, :, 0]


class ResidualEncoder(nn.Module):
    """Maps images to vectors: the network of a discriminator."""

    features: int  # numbers in the vector
    tower: Tower = Tower()  # options

    norm = "none"  # none, so batches may be joined

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
        """Of matrix products."""
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
    """Resamples images by bilinear interpolation; where they shrink, over all that a pixel covers.

    It has the values of ``jax.image.resize``, which a converter to ONNX takes for batches of a known size alone.

    Args:
      x: images.
      size: their new height and width.

    Returns:
      The images in this size. Constant ones stay as they are, up to their edges.
    """
    if x.shape[1:3] == size:
        return x
    down, across = (jnp.asarray(triangles(*lengths), x.dtype) for lengths in zip(x.shape[1:3], size, strict=True))
    return jnp.einsum("Hh,Ww,bhwc->bHWc", down, across, x)


def triangles(length: int, other: int) -> Float[np.ndarray, "{other} {length}"]:
    """The weights of pixels in a row of another length: triangles, at least a pixel wide to each side."""
    centres = (np.arange(other)[:, None] + 0.5) * length / other - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(length) - centres) / max(1, length / other))
    return weights / weights.sum(axis=1, keepdims=True)
