"""The value that every part of the data room passes on."""

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
    """

    name: str
    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int32[np.ndarray, " n"]
    class_names: tuple[str, ...]
