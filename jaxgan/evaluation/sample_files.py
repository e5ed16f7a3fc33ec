"""Samples from a file of any program, read without guessing the scale of their numbers."""

import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8

from jaxgan.errors import UserError

USUAL_NAMES = ("images", "samples", "arr_0")
# What NumPy's reader and the decompressors raise for content that is none of theirs.
UNREADABLE = (
    *(ValueError, EOFError, LookupError, RuntimeError, SyntaxError, tokenize.TokenError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
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
            is_zip = zipfile.is_zipfile(file)
            file.seek(0)
            array = _only_array(file, path) if is_zip else _array(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise UserError(f"--samples: {str(path)!r} cannot be read ({error.strerror or error})") from error
    except UNREADABLE as error:
        raise UserError(f"--samples: {str(path)!r} is no file of NumPy arrays ({error})") from error
    return _to_bytes(_channels_last(array, image_shape, path), path)


def _only_array(file: IO[bytes], path: Path) -> np.ndarray:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        names = [name for name in USUAL_NAMES if name in members] or list(members)
        if len(names) != 1 and not set(names) & set(USUAL_NAMES):
            held = ", ".join(map(repr, members)) or "none"
            raise UserError(f"--samples: {str(path)!r} must hold one array, or one called 'images'; it has {held}")
        with archive.open(members[names[0]]) as member:
            return _array(member, members[names[0]].file_size)


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """Reads an array once its header is known to announce no more bytes than there are."""
    version = np.lib.format.read_magic(file)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = headers[version](file)
    announced = file.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or announced != size:
        raise ValueError(f"its header announces {announced:,} bytes, and it has {size:,}")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


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
    # Images contain black. Between the two scales, and on half of one, numbers look like those of another.
    for bottom, darkest, brightest in ((-1, -0.75, -1), (0, 0.25, 0.75)):
        if bottom - SLACK <= low <= darkest and brightest <= high <= 1 + SLACK:
            return np.round((np.clip(array, bottom, 1) - bottom) * (255 / (1 - bottom))).astype(np.uint8)
    raise UserError(
        f"{file} has floats from {low:.4g} to {high:.4g}, which are clearly neither in [0, 1] nor in [-1, 1]; "
        "give bytes (uint8, 0 to 255)"
    )
