"""The chapter's fully connected networks: dense layers with LeakyReLU between them."""

import math
from itertools import accumulate, pairwise

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, UInt32

from jaxgan.nn import noise
from jaxgan.nn.dense import Dense
from jaxgan.nn.initializers import Initialization, torch_default
from jaxgan.nn.precision import widened


class Generator(nn.Module):
    """Maps latents to images: dense layers with LeakyReLU, a last one with tanh.

    Attributes:
      image_shape: height, width and channels of an image.
      hidden_units: units of each hidden layer, first to last.
      hidden_bias: whether the hidden layers have biases; the last one always has.
      negative_slope: slope of LeakyReLU below zero.
      initialization: the laws of all weights.
      dtype: what products are computed in; None for the parameters' own type.
    """

    image_shape: tuple[int, int, int]
    hidden_units: tuple[int, ...] = (100,)
    hidden_bias: bool = True
    negative_slope: float = 0.01
    initialization: Initialization = torch_default()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Draws one image, with values in [-1, 1], from each latent vector; the same way in training."""
        h = z
        for i, units in enumerate(self.hidden_units):
            h = Dense(units, self.hidden_bias, self.initialization, self.dtype, name=f"hidden_{i}")(h)
            h = nn.leaky_relu(h, self.negative_slope)
        h = Dense(math.prod(self.image_shape), True, self.initialization, self.dtype, name="output")(h)
        return jnp.tanh(widened(h)).reshape(-1, *self.image_shape)


class Discriminator(nn.Module):
    """Tells real images from generated ones: dense layers without bias, LeakyReLU, dropout, and one logit.

    Attributes:
      hidden_units: units of each hidden layer, first to last.
      negative_slope: slope of LeakyReLU below zero.
      dropout_rate: share of hidden units that training drops.
      initialization: the laws of all weights.
      dtype: what products are computed in; None for the parameters' own type.
    """

    hidden_units: tuple[int, ...] = (100,)
    negative_slope: float = 0.01
    dropout_rate: float = 0.5
    initialization: Initialization = torch_default()
    dtype: DTypeLike | None = None

    @property
    def noise_offsets(self) -> tuple[int, ...]:
        """Where each layer's words begin in an example's row of noise, and where the row ends."""
        counts = (noise.mask_words(units, rate=self.dropout_rate) for units in self.hidden_units)
        return tuple(accumulate(counts, initial=0))

    def __call__(
        self, images: Float[Array, "batch height width channels"], bits: UInt32[Array, "batch words"] | None = None
    ) -> Float[Array, " batch"]:
        """Judges each image.

        Args:
          images: values in [-1, 1].
          bits: random words for dropout, as many an example as ``noise_offsets[-1]``; None for evaluation mode.

        Returns:
          Logits; the probability of being real is their sigmoid.
        """
        return self._judge(images.reshape(len(images), -1), bits)

    def judge_pair(
        self,
        real: Float[Array, "batch height width channels"],
        fake: Float[Array, "batch height width channels"],
        real_bits: UInt32[Array, "batch words"],
        fake_bits: UInt32[Array, "batch words"],
    ) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """Judges a real and a generated batch.

        Without batch statistics an image is judged alone, so the two can pass as one, with half the matrix products.
        They are joined as rows of pixels: with an axis for one channel last, XLA's CPU backend copies pixel by pixel.

        Args:
          real: values in [-1, 1].
          fake: values in [-1, 1].
          real_bits: random words for dropout on the real batch.
          fake_bits: random words for dropout on the generated batch.

        Returns:
          The logits of both batches.
        """
        both = jnp.concatenate([images.reshape(len(images), -1) for images in (real, fake)])
        return tuple(jnp.split(self._judge(both, jnp.concatenate([real_bits, fake_bits])), [len(real)]))

    @nn.compact
    def _judge(
        self, h: Float[Array, "batch pixels"], bits: UInt32[Array, "batch words"] | None
    ) -> Float[Array, " batch"]:
        for i, (units, (start, stop)) in enumerate(zip(self.hidden_units, pairwise(self.noise_offsets), strict=True)):
            h = Dense(units, False, self.initialization, self.dtype, name=f"hidden_{i}")(h)
            h = nn.leaky_relu(h, self.negative_slope)
            if bits is not None and self.dropout_rate > 0:
                keep = noise.keep_mask(bits[:, start:stop], units, rate=self.dropout_rate)
                h = jnp.where(keep, h / (1 - self.dropout_rate), 0)
        return widened(Dense(1, True, self.initialization, self.dtype, name="output")(h)[:, 0])
