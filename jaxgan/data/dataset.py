"""Images as whole arrays, and images as records to read."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, UInt8

Records = Sequence[int] | Int[np.ndarray, " n"]  # numbers of records


class Dataset(NamedTuple):
    """One split of a labelled set of images, as whole arrays.

    Attributes:
      name: name in the catalog, ``"mnist"``.
      images: pixels in [0, 255], channels last; read-only when they are mapped from disk.
      labels: class of each image, in [0, len(class_names)).
      class_names: what each label stands for.
    """

    name: str
    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int32[np.ndarray, " n"]
    class_names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels


class Stream(NamedTuple):
    """One split of a labelled set of images that stays on disk, to be read in any order.

    Attributes:
      name: name in the catalog, ``"celeb_a"``.
      size: number of images.
      image_shape: height, width and channels of an image.
      class_names: what each label stands for.
      read: maps the numbers of records to their images and labels, as in a :class:`Dataset`.
    """

    name: str
    size: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    read: Callable[[Records], tuple[UInt8[np.ndarray, "n height width channels"], Int32[np.ndarray, " n"]]]

    def everything(self, *, most: int | None = None) -> Dataset:
        """Reads all images, or the first ``most``."""
        count = self.size if most is None else min(most, self.size)
        return Dataset(self.name, *self.read(range(count)), self.class_names)
