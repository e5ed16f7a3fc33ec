"""Small classifiers, convolutional or fully connected, whose last features measure the quality of samples."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgan.nn.bilinear import Geometry
from jaxgan.nn.initializers import Initialization, torch_default
from jaxgan.nn.layers import BatchNorm, Conv, Dense, to_float32

# It halves first: at an image's full size a layer is slow for what it adds.
KEEP, HALVE = Geometry((3, 3), padding=(1, 1)), Geometry((4, 4), (2, 2), (1, 1))
LAYERS = ((HALVE, 1), (KEEP, 2), (HALVE, 3), (KEEP, 3))  # geometry, channels in units of the width
DENSE_LAYERS = (16, 8, 3)  # units in units of the width


class ConvClassifier(nn.Module):
    """Convolutions with batch normalization, the mean over all places, and one linear layer."""

    classes: int = 10  # classes to tell apart
    width: int = 32  # channels at half of the image's size; three times as many at the end
    initialization: Initialization = torch_default()  # distributions of all weights
    axis_name: str | None = None  # the mapped axis that a batch is split over; None on one device
    dtype: DTypeLike | None = None  # what products are computed in; None for the parameters' own type

    @property
    def features(self) -> int:
        """Numbers in the last features."""
        return self.width * LAYERS[-1][1]

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        """Classifies each image.

        Args:
          images: values in [-1, 1].
          train: whether batch normalization takes the statistics of the batch.

        Returns:
          Logits of the classes, and the features that they are linear in, which are not negative.
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

    classes: int = 10  # classes to tell apart
    width: int = 32  # a third of the units of the last hidden layer
    initialization: Initialization = torch_default()  # distributions of all weights
    axis_name: str | None = None  # the mapped axis that a batch is split over; None on one device
    dtype: DTypeLike | None = None  # what products are computed in; None for the parameters' own type

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        """Classifies each image; arguments and results are those of :class:`ConvClassifier`."""
        x = images.reshape(len(images), -1)
        for i, widths in enumerate(DENSE_LAYERS):
            x = Dense(self.width * widths, False, self.initialization, self.dtype, name=f"dense_{i}")(x)
            x = nn.relu(BatchNorm(self.axis_name, name=f"norm_{i}")(x, train=train))
        features = to_float32(x)
        logits = Dense(self.classes, initialization=self.initialization, dtype=self.dtype, name="output")(features)
        return to_float32(logits), features


CLASSIFIERS = {"convolutional": ConvClassifier, "dense": DenseClassifier}
