"""A small U-Net for noisy images, without residual blocks at full resolution.

The first convolution halves an image and the last one doubles it, so residual blocks see at most a quarter of the
pixels: at full resolution they add little for their cost. The halvings are those of ``convnets.pyramid``.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxgan.nn.bilinear import Geometry, Pair
from jaxgan.nn.convnets import pyramid
from jaxgan.nn.initializers import Initialization, torch_default, unit_normal
from jaxgan.nn.layers import Conv, ConvTranspose, Dense, ExampleNorm, to_float32

KEEP = Geometry((3, 3), padding=(1, 1))  # a convolution that keeps the size
FREQUENCIES = 32  # of the time embedding
HIGHEST_FREQUENCY = 1000.0  # in radians per unit of t


class UNet(nn.Module):
    """Residual blocks at decreasing and then increasing resolutions, with additive skip connections.

    References:
      Ronneberger et al., U-Net, 2015; Ho et al., Denoising Diffusion Probabilistic Models, 2020, appendix B.
    """

    image_shape: tuple[int, int, int]  # height, width and channels of an image
    width: int = 24  # channels at half the image size; they double with each level
    levels: int = 3  # resolutions, at most the number of halvings of the image
    blocks: int = 1  # residual blocks per level, in the downward and in the upward path
    classes: int = 0  # number of classes; 0 if unconditional
    initialization: Initialization = torch_default()  # initializers of all weights
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        t: Float[Array, " batch"] | None = None,
        labels: Int[Array, " batch"] | None = None,
    ) -> Float[Array, "batch height width channels"]:
        """Predicts the velocity at each image, or the image without noise.

        Args:
          x: noisy images.
          t: time of each image, from 0 (noise) to 1 (data); None for 0.
          labels: class of each image, or ``classes`` if unknown; None if all are unknown.

        Returns:
          Unbounded values, in the shape of ``x``.
        """
        *size, channels = self.image_shape
        options = self.initialization, self.dtype
        condition = self._condition(jnp.zeros_like(x[:, 0, 0, 0]) if t is None else t, labels)
        geometries = level_geometries((size[0], size[1]), self.levels)
        skips = []
        for i, geometry in enumerate(geometries):
            x = Conv(self.width * 2**i, *geometry, True, False, *options, name=f"down_{i}")(x)
            for j in range(self.blocks):
                x = ResidualBlock(*options, name=f"down_{i}_block_{j}")(x, condition)
            skips.append(x)
        for i, geometry in reversed(list(enumerate(geometries))):
            if i + 1 < len(geometries):
                x = x + skips[i]
            for j in range(self.blocks):
                x = ResidualBlock(*options, name=f"up_{i}_block_{j}")(x, condition)
            if i == 0:
                x = nn.silu(AdaptiveNorm(*options, name="norm")(x, condition))
            features, name = (self.width * 2 ** (i - 1), f"up_{i}") if i else (channels, "output")
            x = ConvTranspose(features, *geometry, (0, 0), True, *options, name=name)(x)
        return to_float32(x)

    def _condition(
        self, t: Float[Array, " batch"], labels: Int[Array, " batch"] | None
    ) -> Float[Array, "batch features"]:
        """The time embedding plus the class embedding, which is 0 for an unknown class."""
        features, options = 4 * self.width, (self.initialization, self.dtype)
        h = Dense(features, True, *options, name="time_0")(time_embedding(t))
        h = Dense(features, True, *options, name="time_1")(nn.silu(h))
        if self.classes:
            labels = jnp.full_like(t, self.classes, jnp.int32) if labels is None else labels
            one_hot = jax.nn.one_hot(labels, self.classes, dtype=t.dtype)
            h = h + Dense(features, False, unit_normal(), self.dtype, name="embedding")(one_hot)
        return nn.silu(h)


class ResidualBlock(nn.Module):
    """Two convolutions added to the identity, with adaptive normalization between them."""

    initialization: Initialization = torch_default()  # initializers of all weights
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], condition: Float[Array, "batch features"]
    ) -> Float[Array, "batch height width channels"]:
        """Maps activations to activations of the same shape, given the condition of each example."""
        channels, options = x.shape[-1], (self.initialization, self.dtype)
        h = nn.silu(ExampleNorm("layer", name="norm_0")(x))
        h = Conv(channels, *KEEP, True, False, *options, name="conv_0")(h)
        h = nn.silu(AdaptiveNorm(*options, name="norm_1")(h, condition))
        return x + Conv(channels, *KEEP, True, False, *options, name="conv_1")(h)


class AdaptiveNorm(nn.Module):
    """Layer normalization whose scale and shift of each channel depend on the condition.

    References:
      Peebles and Xie, Scalable Diffusion Models with Transformers, 2023, section 3.2.
    """

    initialization: Initialization = torch_default()  # initializers of all weights
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], condition: Float[Array, "batch features"]
    ) -> Float[Array, "batch height width channels"]:
        """Normalizes each example, then scales and shifts its channels."""
        both = Dense(2 * x.shape[-1], True, self.initialization, self.dtype, name="condition")(condition)
        scale, shift = jnp.split(to_float32(both)[:, None, None], 2, axis=-1)
        return ExampleNorm("layer", name="norm")(x) * (1 + scale) + shift


def time_embedding(t: Float[Array, " batch"]) -> Float[Array, "batch features"]:
    """Cosines and sines of times in [0, 1], at geometrically spaced frequencies.

    References:
      Vaswani et al., Attention Is All You Need, 2017, section 3.5, for positions.
    """
    frequencies = jnp.exp(jnp.linspace(0.0, math.log(HIGHEST_FREQUENCY), FREQUENCIES, dtype=t.dtype))
    angles = t[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=1)


def level_geometries(size: Pair, levels: int) -> tuple[Geometry, ...]:
    """Lists the geometries of the convolutions that lead to each level, the largest image first.

    Args:
      size: height and width of the image.
      levels: maximum number of levels.

    Returns:
      The first halvings of the pyramid; for an image too small to halve, one convolution that keeps its size.
    """
    return pyramid(size)[:-1][:levels] or (KEEP,)
