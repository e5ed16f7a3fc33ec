"""The fully connected networks of the autoencoders: from an image to a vector of its own, and back."""

import math

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgan.nn.dense import Dense
from jaxgan.nn.initializers import Initialization, torch_default
from jaxgan.nn.precision import widened


class Encoder(nn.Module):
    """Maps images to a vector each: dense layers with ReLU, a last one without.

    Attributes:
      features: numbers in the vector.
      hidden_units: units of each hidden layer, first to last; none make it an affine map.
      initialization: the laws of all weights.
      dtype: what products are computed in; None for the parameters' own type.
    """

    features: int
    hidden_units: tuple[int, ...] = ()
    initialization: Initialization = torch_default()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "batch height width channels"]) -> Float[Array, "batch {self.features}"]:
        """Maps each image to its vector."""
        h = images.reshape(len(images), -1)
        for i, units in enumerate(self.hidden_units):
            h = nn.relu(Dense(units, True, self.initialization, self.dtype, name=f"hidden_{i}")(h))
        return widened(Dense(self.features, True, self.initialization, self.dtype, name="output")(h))


class Decoder(nn.Module):
    """Maps vectors to images: dense layers with ReLU, a last one without.

    Attributes:
      image_shape: height, width and channels of an image.
      hidden_units: units of each hidden layer, first to last; none make it an affine map.
      initialization: the laws of all weights.
      dtype: what products are computed in; None for the parameters' own type.
    """

    image_shape: tuple[int, int, int]
    hidden_units: tuple[int, ...] = ()
    initialization: Initialization = torch_default()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "batch latent"]) -> Float[Array, "batch height width channels"]:
        """Maps each vector to an image of unbounded values."""
        h = z
        for i, units in enumerate(self.hidden_units):
            h = nn.relu(Dense(units, True, self.initialization, self.dtype, name=f"hidden_{i}")(h))
        h = Dense(math.prod(self.image_shape), True, self.initialization, self.dtype, name="output")(h)
        return widened(h).reshape(-1, *self.image_shape)
