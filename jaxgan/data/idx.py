"""The IDX file format, and data sets of four IDX files."""

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxgan.data.arrays import require_room
from jaxgan.data.catalog import IDX_FILES, Spec, owner_of
from jaxgan.data.dataset import Dataset
from jaxgan.errors import UserError

_UNSIGNED_BYTE = 0x08
MOST_AXES = 32  # NumPy's limit before version 2


def decode(payload: bytes, *, file: str) -> UInt8[np.ndarray, "..."]:
    """Decodes an IDX file of bytes: two zeros, the type, the number of axes, their lengths (big-endian), the values.

    Args:
      payload: the uncompressed content.
      file: the name of the file, for errors.

    Returns:
      The array, a view into ``payload``.

    Raises:
      UserError: if the content disagrees with its header.
    """
    if len(payload) < 4 or payload[:2] != b"\0\0":
        raise UserError(f"{file}: not an IDX file, its first bytes are {payload[:4].hex(' ') or 'missing'}")
    kind, axes = payload[2], payload[3]
    if kind != _UNSIGNED_BYTE:
        raise UserError(f"{file}: holds IDX type 0x{kind:02x}, expected unsigned bytes (0x08)")
    if axes > MOST_AXES:
        raise UserError(f"{file}: damaged, its header announces {axes} axes")
    offset = 4 + 4 * axes
    if len(payload) < offset:
        raise UserError(f"{file}: truncated within its header, {len(payload)} of {offset} bytes")
    shape = struct.unpack_from(f">{axes}I", payload, 4)
    expected = offset + math.prod(shape)
    if len(payload) != expected:
        fault = "truncated" if len(payload) < expected else "too long"
        raise UserError(f"{file}: {fault}, {len(payload):,} bytes where its header announces {expected:,}")
    return np.frombuffer(payload, np.uint8, offset=offset).reshape(shape)


def gunzip(path: Path, *, file: str | None = None) -> bytes:
    """Reads a gzipped IDX file: what its header announces, and one byte more if there is, which :func:`decode` refuses.

    Args:
      path: the file.
      file: its name, for errors; None for the path.

    Raises:
      UserError: if it is truncated or damaged, or too large for memory.
      OSError: if it cannot be read.
    """
    try:
        with gzip.open(path) as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[3] > MOST_AXES:
                return head
            head += stream.read(4 * head[3])
            lengths = struct.unpack(f">{len(head) // 4 - 1}I", head[4 : len(head) // 4 * 4])
            require_room(math.prod(lengths), source=file or str(path))
            return head + stream.read(math.prod(lengths) + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{file or path}: truncated or damaged gzip file ({error})") from error


def assemble(spec: Spec, files: Mapping[str, bytes], *, origin: str) -> dict[str, Dataset]:
    """Decodes four IDX files into the splits of a data set, and checks that they belong to it.

    Args:
      spec: the data set.
      files: the uncompressed contents, by canonical name.
      origin: the source of the files, for errors.

    Returns:
      The data by split, in the order of the files.

    Raises:
      UserError: if a file is damaged, belongs to another data set, or disagrees with its companion.
    """
    return {split: _assemble_split(spec, split, files, origin=origin) for split in spec.examples}


def _assemble_split(spec: Spec, split: str, files: Mapping[str, bytes], *, origin: str) -> Dataset:
    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        file = f"{origin}/{name}"
        values = decode(files[name], file=file)
        if values.shape != shape:
            raise UserError(f"{file}: has shape {values.shape}, {spec.name} needs {shape}")
        _require_checksum(spec, name, hashlib.md5(files[name]).hexdigest(), file=file)
        return values

    count = spec.examples[split]
    height, width, channels = spec.image_shape
    images_file, labels_file = IDX_FILES[split]
    images = array(images_file, (count, height, width)).reshape(count, height, width, channels)
    labels = array(labels_file, (count,))
    if labels.max(initial=0) >= len(spec.class_names):
        raise UserError(f"{origin}/{labels_file}: label {labels.max()} is outside 0 to {len(spec.class_names) - 1}")
    return Dataset(spec.name, images, labels.astype(np.int32), spec.class_names)


def _require_checksum(spec: Spec, name: str, digest: str, *, file: str) -> None:
    # All data sets of the MNIST family have the same file names and shapes; only checksums differ.
    if digest == spec.md5.get(name):
        return
    if (owner := owner_of(digest)) and owner.name != spec.name:
        raise UserError(f"{file}: belongs to {owner.name} ({owner.title}), not to {spec.name} ({spec.title})")
    if name in spec.md5:
        raise UserError(f"{file}: has MD5 {digest}, {spec.name} needs {spec.md5[name]}; is it another data set?")
