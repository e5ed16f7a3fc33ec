"""Images as whole arrays, and images as records to read."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8

Records = Sequence[int] | Int[np.ndarray, " n"]  # numbers of records


class Dataset(NamedTuple):
    """One split of a labelled set of images, as whole arrays.

    Attributes:
      name: name in the catalog, ``"mnist"``.
      images: pixels in [0, 255], channels last; read-only when they are mapped from disk.
      labels: class of each image, in [0, len(class_names)).
      class_names: what each label stands for.
      fingerprint: of one's own pictures, changes when they do; empty for a data set of the catalog.
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
    """One split of a labelled set of images that stays on disk, to be read in any order.

    Attributes:
      name: name in the catalog, ``"celeb_a"``.
      size: number of images.
      image_shape: height, width and channels of an image.
      class_names: what each label stands for.
      read: maps the numbers of records to their images and labels, as in a :class:`Dataset`.
      fingerprint: as in a :class:`Dataset`.
    """

    name: str
    size: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    read: Callable[[Records], tuple[UInt8[np.ndarray, "n height width channels"], Int32[np.ndarray, " n"]]]
    fingerprint: str = ""

    def everything(self, *, most: int | None = None) -> Dataset:
        """Reads all images, or the first ``most``."""
        count = self.size if most is None else min(most, self.size)
        return Dataset(self.name, *self.read(range(count)), self.class_names)


class Collection(NamedTuple):
    """One's own pictures before they are read, in the order of their names.

    Attributes:
      labels: the class of each image.
      class_names: what each label stands for.
      in_test: whether each is in the test split.
      facts: names, sizes and times, which change when an image does.
      shape: finds height, width and channels of the images.
      read: from numbers of images and their shape to their pixels.
    """

    labels: Int32[np.ndarray, " n"]
    class_names: tuple[str, ...]
    in_test: Bool[np.ndarray, " n"]
    facts: str
    shape: Callable[[], tuple[int, int, int]]
    read: Callable[[Records, tuple[int, int, int]], UInt8[np.ndarray, "n height width channels"]]
