"""The values that every part of the data room passes on: images as arrays, or as records to read."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8


class Dataset(NamedTuple):
    """One split of a labelled set of images, as whole arrays.

    Attributes:
      name: name in the catalog, ``"mnist"``.
      images: pixels in [0, 255], channels last; read-only when they are mapped from disk.
      labels: class of each image, in [0, len(class_names)).
      class_names: what each label stands for.
      stacked: how many images make an example, each a channel or more of it; their labels are then digits of its own.
    """

    name: str
    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int32[np.ndarray, " n"]
    class_names: tuple[str, ...]
    stacked: int = 1

    @property
    def size(self) -> int:
        """How many images there are."""
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an example."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels * self.stacked


class Stream(NamedTuple):
    """One split of a labelled set of images that stays on disk, to be read in any order.

    Attributes:
      name: name in the catalog, ``"celeb_a"``.
      size: how many images there are.
      image_shape: height, width and channels of an image.
      class_names: what each label stands for.
      read: from the numbers of records to their images and labels, as in a :class:`Dataset`.
    """

    name: str
    size: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    read: Callable[[Sequence[int]], tuple[UInt8[np.ndarray, "n height width channels"], Int32[np.ndarray, " n"]]]

    def everything(self, *, most: int | None = None) -> Dataset:
        """Reads all images, or the first ones of them."""
        count = self.size if most is None else min(most, self.size)
        return Dataset(self.name, *self.read(range(count)), self.class_names)
