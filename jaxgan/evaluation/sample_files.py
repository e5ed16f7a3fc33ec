"""Samples from a file of any program, read without guessing the scale of their numbers."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxgan.errors import UserError

USUAL_NAMES = ("images", "samples", "arr_0")
SLACK = 1e-3  # rounding beyond the scale that is allowed: a quarter of a grey level


def read(path: Path, *, image_shape: tuple[int, int, int]) -> UInt8[np.ndarray, "n height width channels"]:
    """Reads images from a NumPy file.

    Args:
      path: an .npy file, or an .npz file with one array or one of a usual name.
      image_shape: height, width and channels. Channels may come first; a single one may be missing.

    Returns:
      The images as bytes; numbers are rounded to the nearest.

    Raises:
      UserError: if the file cannot be read, its array has another shape, or its numbers are neither bytes nor clearly
        in [0, 1] or [-1, 1].
    """
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            array = found if isinstance(found, np.ndarray) else _only_array(found, path)
    except OSError as error:
        raise UserError(f"--samples: {str(path)!r} cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"--samples: {str(path)!r} is no file of NumPy arrays ({error})") from error
    return _to_bytes(_channels_last(array, image_shape, path), path)


def _only_array(found: np.lib.npyio.NpzFile, path: Path) -> np.ndarray:
    with found:
        names = [name for name in USUAL_NAMES if name in found.files] or found.files
        if len(names) != 1 and not set(names) & set(USUAL_NAMES):
            held = ", ".join(map(repr, found.files)) or "none"
            raise UserError(f"--samples: {str(path)!r} must hold one array, or one called 'images'; it has {held}")
        return found[names[0]]


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
        "as the images that it is compared with"
    )


def _to_bytes(array: np.ndarray, path: Path) -> UInt8[np.ndarray, "n height width channels"]:
    file = f"--samples: {str(path)!r}"
    if not len(array):
        raise UserError(f"{file} holds no image")
    if array.dtype == np.uint8:
        if array.max() <= 1:
            raise UserError(f"{file} has bytes of at most 1, black to the eye; multiply by 255, or give floats")
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{file} is of type {array.dtype}, it must be uint8, or floats in [0, 1] or [-1, 1]")
    low, high = float(array.min()), float(array.max())  # NaN if there is any
    if not np.isfinite([low, high]).all():
        raise UserError(f"{file} has numbers that are not finite")
    # Real images contain black. Between the two scales the numbers of one look like those of the other.
    for bottom, darkest, brightest in ((-1, -0.5, -1), (0, 0.25, 0.5)):
        if bottom - SLACK <= low <= darkest and brightest <= high <= 1 + SLACK:
            return np.round((np.clip(array, bottom, 1) - bottom) * (255 / (1 - bottom))).astype(np.uint8)
    raise UserError(
        f"{file} has floats from {low:.4g} to {high:.4g}, which are clearly neither in [0, 1] nor in [-1, 1]; "
        "give bytes (uint8, 0 to 255)"
    )
