"""Fully connected networks: generator, discriminator, encoder and decoder."""

import math
from collections.abc import Callable
from itertools import accumulate, pairwise

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, UInt32

from jaxgan.nn import noise
from jaxgan.nn.initializers import Initialization, torch_default
from jaxgan.nn.layers import Dense, to_float32


class Generator(nn.Module):
    """Maps latents to images: dense layers with LeakyReLU, and tanh at the output."""

    image_shape: tuple[int, int, int]  # height, width and channels of an image
    hidden_units: tuple[int, ...] = (100,)  # units of each hidden layer, first to last
    hidden_bias: bool = True  # whether the hidden layers have biases; the output layer always has one
    negative_slope: float = 0.01  # slope of LeakyReLU below zero
    initialization: Initialization = torch_default()  # initializers of all weights
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch latent"], *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Maps each latent vector to an image in [-1, 1]; ``train`` has no effect."""
        h = z
        for i, units in enumerate(self.hidden_units):
            h = Dense(units, self.hidden_bias, self.initialization, self.dtype, name=f"hidden_{i}")(h)
            h = nn.leaky_relu(h, self.negative_slope)
        h = Dense(math.prod(self.image_shape), True, self.initialization, self.dtype, name="output")(h)
        return jnp.tanh(to_float32(h)).reshape(-1, *self.image_shape)


class Discriminator(nn.Module):
    """Maps images to the logit of being real: dense layers without bias, LeakyReLU and dropout."""

    hidden_units: tuple[int, ...] = (100,)  # units of each hidden layer, first to last
    negative_slope: float = 0.01  # slope of LeakyReLU below zero
    dropout_rate: float = 0.5  # probability of dropping a hidden unit in training
    initialization: Initialization = torch_default()  # initializers of all weights
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @property
    def bits_per_example(self) -> int:
        """Random 32-bit words per example for dropout."""
        return self._offsets[-1]

    @property
    def _offsets(self) -> tuple[int, ...]:
        """Start of each layer's words in an example's row, and the end of the row."""
        counts = (noise.mask_words(units, rate=self.dropout_rate) for units in self.hidden_units)
        return tuple(accumulate(counts, initial=0))

    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        *,
        train: bool = False,
        bits: UInt32[Array, "batch words"] | None = None,
    ) -> Float[Array, " batch"]:
        """Computes a logit for each image.

        Args:
          images: values in [-1, 1].
          train: whether to drop units.
          bits: random words for dropout, ``bits_per_example`` per image; None for no dropout.

        Returns:
          Logits, whose sigmoid is the probability of being real.
        """
        return self._logits(images.reshape(len(images), -1), bits if train else None)

    def logits_of_pair(
        self,
        real: Float[Array, "batch height width channels"],
        fake: Float[Array, "batch height width channels"],
        *,
        real_bits: UInt32[Array, "batch words"] | None = None,
        fake_bits: UInt32[Array, "batch words"] | None = None,
    ) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """Computes the logits of a real and a generated batch in training mode.

        Without batch statistics both batches can pass as one, with half the matrix products. They are concatenated as
        rows of pixels: with a last axis of one channel, XLA's CPU backend copies pixel by pixel.

        Args:
          real: values in [-1, 1].
          fake: values in [-1, 1].
          real_bits: random words for dropout on the real batch.
          fake_bits: random words for dropout on the generated batch.

        Returns:
          The logits of both batches.
        """
        both = jnp.concatenate([images.reshape(len(images), -1) for images in (real, fake)])
        bits = None if real_bits is None or fake_bits is None else jnp.concatenate([real_bits, fake_bits])
        of_real, of_fake = jnp.split(self._logits(both, bits), [len(real)])
        return of_real, of_fake

    @nn.compact
    def _logits(
        self, h: Float[Array, "batch pixels"], bits: UInt32[Array, "batch words"] | None
    ) -> Float[Array, " batch"]:
        for i, (units, (start, stop)) in enumerate(zip(self.hidden_units, pairwise(self._offsets), strict=True)):
            h = Dense(units, False, self.initialization, self.dtype, name=f"hidden_{i}")(h)
            h = nn.leaky_relu(h, self.negative_slope)
            if bits is not None and self.dropout_rate > 0:
                keep = noise.keep_mask(bits[:, start:stop], units, rate=self.dropout_rate)
                h = jnp.where(keep, h / (1 - self.dropout_rate), 0)
        return to_float32(Dense(1, True, self.initialization, self.dtype, name="output")(h)[:, 0])


class Encoder(nn.Module):
    """Maps images to vectors: dense layers with an activation, and a linear output layer."""

    features: int  # size of the vector
    hidden_units: tuple[int, ...] = ()  # units of each hidden layer, first to last; empty for an affine map
    initialization: Initialization = torch_default()  # initializers of all weights
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters
    activation: Callable[[Array], Array] = nn.relu  # of the hidden layers

    @nn.compact
    def __call__(self, images: Float[Array, "batch ..."]) -> Float[Array, "batch {self.features}"]:
        """Maps each image, or each row, to its vector."""
        h = images.reshape(len(images), -1)
        for i, units in enumerate(self.hidden_units):
            h = self.activation(Dense(units, True, self.initialization, self.dtype, name=f"hidden_{i}")(h))
        return to_float32(Dense(self.features, True, self.initialization, self.dtype, name="output")(h))


class Decoder(nn.Module):
    """Maps vectors to images: dense layers with an activation, and a linear output layer."""

    image_shape: tuple[int, int, int]  # height, width and channels of an image
    hidden_units: tuple[int, ...] = ()  # units of each hidden layer, first to last; empty for an affine map
    initialization: Initialization = torch_default()  # initializers of all weights
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters
    activation: Callable[[Array], Array] = nn.relu  # of the hidden layers

    @nn.compact
    def __call__(self, z: Float[Array, "batch latent"]) -> Float[Array, "batch height width channels"]:
        """Maps each vector to an image of unbounded values."""
        h = z
        for i, units in enumerate(self.hidden_units):
            h = self.activation(Dense(units, True, self.initialization, self.dtype, name=f"hidden_{i}")(h))
        h = Dense(math.prod(self.image_shape), True, self.initialization, self.dtype, name="output")(h)
        return to_float32(h).reshape(-1, *self.image_shape)
