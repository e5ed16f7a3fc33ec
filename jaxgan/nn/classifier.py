"""Small classifiers, convolutional or fully connected, whose last hidden features are used to evaluate samples."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgan.nn.bilinear import Geometry
from jaxgan.nn.initializers import Initialization, torch_default
from jaxgan.nn.layers import BatchNorm, Conv, Dense, to_float32

# The first layer halves the image: layers at full resolution add little for their cost.
KEEP, HALVE = Geometry((3, 3), padding=(1, 1)), Geometry((4, 4), (2, 2), (1, 1))
LAYERS = ((HALVE, 1), (KEEP, 2), (HALVE, 3), (KEEP, 3))  # geometry, channels as a multiple of the width
DENSE_LAYERS = (16, 8, 3)  # units as a multiple of the width


class ConvClassifier(nn.Module):
    """Convolutions with batch normalization, global average pooling, and one linear layer."""

    classes: int = 10  # number of classes
    width: int = 32  # channels at half the image size; three times as many at the end
    initialization: Initialization = torch_default()  # initializers of all weights
    axis_name: str | None = None  # the mapped axis that a batch is split over; None on one device
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @property
    def features(self) -> int:
        """Size of the last hidden features."""
        return self.width * LAYERS[-1][1]

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        """Classifies each image.

        Args:
          images: values in [-1, 1].
          train: whether batch normalization uses the statistics of the batch.

        Returns:
          Logits of the classes, and the non-negative features that are the input of the last layer.
        """
        x = images
        for i, (geometry, widths) in enumerate(LAYERS):
            x = Conv(self.width * widths, *geometry, False, False, self.initialization, self.dtype, name=f"conv_{i}")(x)
            x = nn.relu(BatchNorm(self.axis_name, name=f"norm_{i}")(x, train=train))
        features = jnp.mean(to_float32(x), axis=(1, 2))
        logits = Dense(self.classes, initialization=self.initialization, dtype=self.dtype, name="output")(features)
        return to_float32(logits), features


class DenseClassifier(nn.Module):
    """Dense layers with batch normalization, and one linear layer; see :class:`ConvClassifier`."""

    classes: int = 10  # number of classes
    width: int = 32  # a third of the units in the last hidden layer
    initialization: Initialization = torch_default()  # initializers of all weights
    axis_name: str | None = None  # the mapped axis that a batch is split over; None on one device
    dtype: DTypeLike | None = None  # compute dtype; None for that of the parameters

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        """Classifies each image, as :class:`ConvClassifier` does."""
        x = images.reshape(len(images), -1)
        for i, widths in enumerate(DENSE_LAYERS):
            x = Dense(self.width * widths, False, self.initialization, self.dtype, name=f"dense_{i}")(x)
            x = nn.relu(BatchNorm(self.axis_name, name=f"norm_{i}")(x, train=train))
        features = to_float32(x)
        logits = Dense(self.classes, initialization=self.initialization, dtype=self.dtype, name="output")(features)
        return to_float32(logits), features


CLASSIFIERS = {"convolutional": ConvClassifier, "dense": DenseClassifier}
