"""Reads arrays from NumPy files, without unpickling and without trusting the size in a header."""

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

# Raised by NumPy's reader and the decompressors for files of other formats.
UNREADABLE = (
    *(ValueError, EOFError, LookupError, RuntimeError, SyntaxError, tokenize.TokenError, struct.error),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
MOST_BYTES = 2**33  # of an array
DARK = 64  # bytes that are all below look black: they are labels, or have fewer bits
SLACK = 1e-3  # allowed rounding error beyond the range: a quarter of a grey level


def read(path: Path, *, flag: str, usual: Sequence[str], also: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads one array from an .npy or .npz file, and optional further arrays of an .npz file.

    Args:
      path: the file.
      flag: the flag that names the file, for errors.
      usual: allowed names of the array in an .npz file; a single array may have any name.
      also: optional further arrays of an .npz file; if the first is absent, the file must have no others.

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
                    held = ", ".join(map(repr, [*members][:6])) + ", ..." * (len(members) > 6) or "none"
                    raise UserError(f"{source} must hold one array, or one named {usual[0]!r}; it has {held}")
                unknown = sorted(members.keys() - {names[0], *also})
                if also and also[0] not in members and unknown:  # such as labels under another name
                    raise UserError(f"{source} has {unknown[0]!r}; name it {also[0]!r}, or leave it out")
                found = {}
                for wanted, name in {usual[0]: names[0], **{name: name for name in others}}.items():
                    with archive.open(members[name]) as member:
                        found[wanted] = _array(member, members[name].file_size, source=source)
                return found
    except OSError as error:
        raise UserError(f"{source} cannot be read ({error.strerror or error}); give an .npy or .npz file") from error
    except UNREADABLE as error:
        raise UserError(f"{source} is no file of NumPy arrays ({error})") from error


def require_room(size: int, *, source: str) -> None:
    """Refuses an array whose copies do not fit in memory, before it is read.

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
    """Reads an array, after a check that its header announces the bytes of the file, and that they fit in memory."""
    version = np.lib.format.read_magic(file)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = headers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not loaded; give numbers")
    announced = file.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or announced != size:
        raise ValueError(f"its header announces {announced:,} bytes, and it has {size:,}")
    require_room(size, source=source)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def to_bytes(array: np.ndarray, *, file: str) -> UInt8[np.ndarray, "*shape"]:
    """Converts images to uint8, without guessing the range of their values.

    Args:
      array: uint8, or floats clearly in [0, 1] or in [-1, 1].
      file: the source of the array, for errors.

    Returns:
      The images as uint8, with floats rounded to the nearest.

    Raises:
      UserError: if there is no image, or the dtype or range is another.
    """
    if not array.size:
        raise UserError(f"{file} holds no image")
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype == np.uint8:
        if array.max() < DARK:
            raise UserError(f"{file} has bytes of at most {array.max()}, which look black; scale them, or give floats")
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{file} has dtype {array.dtype}, it must be uint8, or floats in [0, 1] or [-1, 1]")
    low, high = float(array.min()), float(array.max())  # NaN if there is any
    if not np.isfinite([low, high]).all():
        raise UserError(f"{file} has values that are not finite")
    # Images contain black. The range is ambiguous if values cover only half of it, or lie between the two.
    for bottom, darkest, brightest in ((-1, -0.75, -1), (0, 0.25, 0.75)):
        if bottom - SLACK <= low <= darkest and brightest <= high <= 1 + SLACK:
            return np.round((np.clip(array, bottom, 1) - bottom) * (255 / (1 - bottom))).astype(np.uint8)
    raise UserError(
        f"{file} has floats from {low:.4g} to {high:.4g}, which are clearly neither in [0, 1] nor in [-1, 1]; "
        "give bytes (uint8, 0 to 255)"
    )
