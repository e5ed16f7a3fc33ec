"""Images as arrays in memory, and images as records on disk."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8

Records = Sequence[int] | Int[np.ndarray, " n"]  # indices of records


class Dataset(NamedTuple):
    """One split of a labelled image data set, as arrays.

    Attributes:
      name: name in the catalog, ``"mnist"``.
      images: pixels in [0, 255], channels last; read-only if memory-mapped.
      labels: class of each image, in [0, len(class_names)).
      class_names: the name of each label.
      fingerprint: a digest that changes with your own pictures; empty for a data set of the catalog.
    """

    name: str
    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int32[np.ndarray, " n"]
    class_names: tuple[str, ...]
    fingerprint: str = ""

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
    """One split of a labelled image data set that stays on disk, with random access."""

    name: str  # name in the catalog, ``"celeb_a"``
    size: int  # number of images
    image_shape: tuple[int, int, int]  # height, width and channels of an image
    class_names: tuple[str, ...]  # the name of each label
    # Maps indices of records to their images and labels, as in a :class:`Dataset`.
    read: Callable[[Records], tuple[UInt8[np.ndarray, "n height width channels"], Int32[np.ndarray, " n"]]]
    fingerprint: str = ""  # as in a :class:`Dataset`

    def everything(self, *, most: int | None = None) -> Dataset:
        """Reads all images, or the first ``most``."""
        count = self.size if most is None else min(most, self.size)
        return Dataset(self.name, *self.read(range(count)), self.class_names, self.fingerprint)


class Collection(NamedTuple):
    """Your own pictures before they are read, in the order of their names."""

    labels: Int32[np.ndarray, " n"]  # the class of each image
    class_names: tuple[str, ...]  # the name of each label
    in_test: Bool[np.ndarray, " n"]  # whether each image is in the test split
    facts: str  # names, sizes and times, which change when an image does
    shape: Callable[[], tuple[int, int, int]]  # finds the height, width and channels of the images
    # Maps indices of images, and their shape, to their pixels.
    read: Callable[[Records, tuple[int, int, int]], UInt8[np.ndarray, "n height width channels"]]
