"""Reads samples that any program wrote, without guessing the range of their values."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxgan.data import arrays
from jaxgan.errors import UserError

USUAL_NAMES = ("images", "samples", "arr_0")


def read(path: Path, *, image_shape: tuple[int, int, int]) -> UInt8[np.ndarray, "n height width channels"]:
    """Reads images from a NumPy file.

    Args:
      path: an .npy file, or an .npz file with one array or an array named as in :data:`USUAL_NAMES`.
      image_shape: height, width and channels. Channels may come first; an axis of one channel may be missing.

    Returns:
      The images as uint8; other values are rounded to the nearest.

    Raises:
      UserError: if the file cannot be read, its array has another shape, or its values are neither bytes nor clearly
        in [0, 1] or [-1, 1].
    """
    array = arrays.read(path, flag="--samples", usual=USUAL_NAMES)[USUAL_NAMES[0]]
    return arrays.to_bytes(_channels_last(array, image_shape, path), file=f"--samples: {str(path)!r}")


def _channels_last(array: np.ndarray, image_shape: tuple[int, int, int], path: Path) -> np.ndarray:
    height, width, channels = image_shape
    if array.shape[1:] == image_shape:
        return array
    if array.shape[1:] == (channels, height, width):
        return np.moveaxis(array, 1, -1)
    if channels == 1 and array.shape[1:] == (height, width):
        return array[..., None]
    raise UserError(
        f"--samples: {str(path)!r} is of shape {array.shape}, it must be (n, {height}, {width}, {channels}), "
        "like the images that it is compared with"
    )
