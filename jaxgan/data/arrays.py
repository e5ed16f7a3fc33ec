"""Arrays in NumPy files, read without unpickling and without trusting what a header announces."""

import lzma
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8

from jaxgan.errors import UserError, require_file

# What NumPy's reader and the decompressors raise for content that is none of theirs.
UNREADABLE = (
    *(ValueError, EOFError, LookupError, RuntimeError, SyntaxError, tokenize.TokenError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
MOST_BYTES = 2**33  # of an array
SLACK = 1e-3  # rounding beyond the scale that is allowed: a quarter of a grey level


def read(path: Path, *, flag: str, usual: Sequence[str], also: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads one array from an .npy or .npz file, and those beside it that are asked for.

    Args:
      path: the file.
      flag: what the user set, for errors.
      usual: names that the array may have in an .npz file; a file of one array may give it any.
      also: further arrays of an .npz file to read, where there are; without the first, there may be no others.

    Returns:
      The array as ``usual[0]``, and the others by their names.

    Raises:
      UserError: if the file cannot be read, or has no such array.
    """
    source = f"{flag}: {str(path)!r}"
    require_file(source, path)
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return {usual[0]: _array(file, os.fstat(file.fileno()).st_size, source=source)}
            with zipfile.ZipFile(file) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                others = [name for name in also if name in members]
                names = [name for name in usual if name in members] or [name for name in members if name not in others]
                if len(names) != 1 and not set(names) & set(usual):
                    held = ", ".join(map(repr, members)) or "none"
                    raise UserError(f"{source} must hold one array, or one called {usual[0]!r}; it has {held}")
                unknown = sorted(members.keys() - {names[0], *also})
                if also and also[0] not in members and unknown:  # such as labels by another name
                    raise UserError(f"{source} has {unknown[0]!r}; call it {also[0]!r}, or leave it out")
                found = {}
                for wanted, name in {usual[0]: names[0], **{name: name for name in others}}.items():
                    with archive.open(members[name]) as member:
                        found[wanted] = _array(member, members[name].file_size, source=source)
                return found
    except OSError as error:
        raise UserError(f"{source} cannot be read ({error.strerror or error})") from error
    except UNREADABLE as error:
        raise UserError(f"{source} is no file of NumPy arrays ({error})") from error


def require_room(size: int, *, source: str) -> None:
    """Refuses an array of so many bytes that its copies do not fit in memory, before it is read.

    Raises:
      UserError: naming the file and the largest size.
    """
    try:
        most = min(MOST_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
    except (AttributeError, ValueError, OSError):  # not on Windows
        most = MOST_BYTES
    if size > most:
        raise UserError(
            f"{source} has an array of {size:,} bytes, this machine's memory allows {most:,}; give fewer images"
        )


def _array(file: IO[bytes], size: int, *, source: str) -> np.ndarray:
    """Reads an array if its header announces as many bytes as the file has, and they fit in memory."""
    version = np.lib.format.read_magic(file)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = headers[version](file)
    if dtype.hasobject:
        raise ValueError("it has Python objects, which are not read; give numbers")
    announced = file.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or announced != size:
        raise ValueError(f"its header announces {announced:,} bytes, and it has {size:,}")
    require_room(size, source=source)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def to_bytes(array: np.ndarray, *, file: str) -> UInt8[np.ndarray, "*shape"]:
    """Converts images to bytes, without guessing what their numbers mean.

    Args:
      array: bytes, or floats clearly in [0, 1] or in [-1, 1].
      file: what holds them, for errors.

    Returns:
      The images as bytes; numbers are rounded to the nearest.

    Raises:
      UserError: if there is no image, or its numbers are of neither kind.
    """
    if not array.size:
        raise UserError(f"{file} holds no image")
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
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
