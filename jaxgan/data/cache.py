"""The ``.npy`` cache: a prepared split as two memory-mapped files, to avoid decoding it again."""

import contextlib
import json
import os
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset
from jaxgan.data.prepared import Prepared
from jaxgan.fields import cache_home


def read(spec: Spec, split: str, *, prepared: Prepared) -> Dataset | None:
    """Memory-maps a split from the cache, if the cache is intact and comes from this directory.

    Args:
      spec: the data set.
      split: ``"train"`` or ``"test"``.
      prepared: the directory that the cache must come from.

    Returns:
      The split; None if the cache has no such split.
    """
    for folder in _folders(spec, prepared):
        # The cache is only a copy: if it is damaged, it is written again.
        with contextlib.suppress(Exception):
            manifest = json.loads(_path(folder, split, "json").read_bytes())
            images = np.load(_path(folder, split, "images.npy"), mmap_mode="r")
            labels = np.load(_path(folder, split, "labels.npy"), mmap_mode="r")
            if manifest == _manifest(prepared, images, labels):
                return Dataset(spec.name, images, labels, spec.class_names)
    return None


def write(spec: Spec, split: str, data: Dataset, *, prepared: Prepared) -> None:
    """Writes a split to its prepared directory, or to the user's cache directory if that is read-only.

    If neither is writable, there is no cache: it only saves seconds and must not fail a run.

    Args:
      spec: the data set.
      split: ``"train"`` or ``"test"``.
      data: the split.
      prepared: the directory of the split.
    """
    manifest = json.dumps(_manifest(prepared, data.images, data.labels)).encode()
    for folder in _folders(spec, prepared):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _write_file(_path(folder, split, "images.npy"), lambda file: np.save(file, data.images))
            _write_file(_path(folder, split, "labels.npy"), lambda file: np.save(file, data.labels))
            _write_file(_path(folder, split, "json"), lambda file: file.write(manifest))
            return


def _folders(spec: Spec, prepared: Prepared) -> Iterator[Path]:
    # TFDS reads only the files that its metadata names, so an extra folder in the directory is safe.
    yield prepared.directory / "npy"
    with contextlib.suppress(RuntimeError):  # no home, so no cache directory
        yield cache_home() / "jaxgan" / f"{spec.name}-{spec.version}-{prepared.fingerprint[:12]}"


def _path(folder: Path, split: str, suffix: str) -> Path:
    return folder / f"{split}.{suffix}"


def _manifest(prepared: Prepared, images: np.ndarray, labels: np.ndarray) -> dict[str, object]:
    # Checksums also detect mixed files of two processes that write at the same time.
    return {
        "fingerprint": prepared.fingerprint,
        **{
            key: {"shape": list(array.shape), "dtype": array.dtype.name, "crc32": zlib.crc32(array.data)}
            for key, array in {"images": images, "labels": labels}.items()
        },
    }


def _write_file(path: Path, write_content: Callable[[IO[bytes]], object]) -> None:
    # The rename is atomic for readers. A file of tempfile would be private to this user.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            write_content(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
