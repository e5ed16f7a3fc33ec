"""A data set of the MNIST family small enough to prepare in a blink."""

import dataclasses
import errno
import gzip
import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from jaxgan.data import pipeline
from jaxgan.data.catalog import IDX_FILES, MNIST, Spec


@dataclasses.dataclass(frozen=True)
class Fabricated:
    """A small data set: its spec, its IDX files and the arrays in them."""

    spec: Spec
    files: Mapping[str, bytes]
    images: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]

    def write(self, folder: Path, *, zipped: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / f"{name}.gz" if zipped else folder / name).write_bytes(
                gzip.compress(content, mtime=0) if zipped else content
            )
        return folder


def encode_idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def fabricate(seed: int, examples: Mapping[str, int]) -> Fabricated:
    rng = np.random.default_rng(seed)
    images = {split: rng.integers(0, 256, (n, 28, 28), np.uint8) for split, n in examples.items()}
    labels = {split: np.arange(n, dtype=np.uint8) % 10 for split, n in examples.items()}
    files = {}
    for split, (images_file, labels_file) in IDX_FILES.items():
        files |= {images_file: encode_idx(images[split]), labels_file: encode_idx(labels[split])}
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    spec = dataclasses.replace(MNIST, examples=dict(examples), md5=md5, archive=None)
    return Fabricated(spec, files, images, labels)


@pytest.fixture(autouse=True)
def _nothing_outside_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user_cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


@pytest.fixture
def forbid_entering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a folder one that may not be entered, which the superuser of a container would not notice by its mode."""

    def forbid(folder: Path) -> None:
        def refuse(path: object, *args: object, stat: Callable = os.stat, **kwargs: object) -> os.stat_result:
            if str(path).startswith(f"{folder}/"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return stat(path, *args, **kwargs)

        monkeypatch.setattr(os, "stat", refuse)

    return forbid


@pytest.fixture(scope="session")
def small() -> Fabricated:
    return fabricate(0, {"train": 50, "test": 20})


@pytest.fixture(scope="session")
def other() -> Fabricated:
    """Another data set of the same shape, as Fashion-MNIST is to MNIST."""
    return fabricate(1, {"train": 50, "test": 20})


@pytest.fixture(scope="session")
def _prepared_once(small: Fabricated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    source = small.write(root / "idx")
    pipeline.prepare(small.spec, data_dir=root / "data", source=source)
    return root / "data"


@pytest.fixture
def prepared_dir(_prepared_once: Path, tmp_path: Path) -> Path:
    """A data_dir in which ``small`` is prepared and nothing is cached."""
    return Path(shutil.copytree(_prepared_once, tmp_path / "data"))
