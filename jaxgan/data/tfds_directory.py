"""The prepared TFDS directory: written, read back and downloaded for, all without TensorFlow.

This is the only module that knows TFDS. It imports it when first needed, because a run on cached data never does.
"""

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset
from jaxgan.errors import UserError

FILE_FORMAT = "array_record"


def write(spec: Spec, splits: Mapping[str, Dataset], *, data_dir: Path) -> Path:
    """Prepares a data set exactly where and in the order that the stock builder would.

    Args:
      spec: the data set.
      splits: its images in the order of the IDX files, whose index is the key that TFDS shuffles by.
      data_dir: the root of prepared data sets.

    Returns:
      The prepared directory, ``<data_dir>/<name>/<version>``.
    """
    builder = _builder_of(spec, splits)(data_dir=data_dir, version=spec.version, file_format=FILE_FORMAT)
    with _quiet():
        builder.download_and_prepare()
    return Path(builder.data_dir)


def read(spec: Spec, split: str, *, data_dir: Path) -> Dataset:
    """Reads a split out of a prepared directory, whoever prepared it, in the order of its records.

    Args:
      spec: the data set.
      split: ``"train"`` or ``"test"``.
      data_dir: the root of prepared data sets.

    Returns:
      The split in memory.

    Raises:
      UserError: if a record is missing, damaged or of another shape.
    """
    tfds = _tfds()
    # A damaged file can surface as any exception of the record reader, protobuf or the image decoder.
    try:
        builder = tfds.builder(f"{spec.name}:{spec.version}", data_dir=data_dir)
        source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()}, file_format=FILE_FORMAT)
        # One call for all rows: it reads whole chunks, where a loop would decompress a chunk for every row.
        rows = source.__getitems__(range(len(source)))
        images = np.empty((len(rows), *spec.image_shape), np.uint8)
        for image, row in zip(images, rows, strict=True):
            image[...] = _decode_png(row["image"]).reshape(spec.image_shape)
        labels = np.array([row["label"] for row in rows], np.int32)
    except (ImportError, MemoryError):
        raise  # nothing that removing the directory would mend
    except Exception as error:
        directory = data_dir / spec.name / spec.version
        raise UserError(
            f"{directory}: damaged, remove it to have it prepared again ({split}: {_first_line(error)})"
        ) from error
    return Dataset(spec.name, images, labels, spec.class_names)


def url(spec: Spec) -> str:
    """Returns the address, ending in a slash, under which the stock builder finds the IDX files."""
    return _tfds().builder_cls(spec.name).URL


def download(spec: Spec, urls: Mapping[str, str], *, folder: Path) -> dict[str, Path]:
    """Downloads files with TFDS's manager and its recorded checksums.

    Args:
      spec: the data set they belong to.
      urls: addresses by name.
      folder: where the files go.

    Returns:
      The downloaded files by name.

    Raises:
      UserError: if a file cannot be downloaded or is not the one that TFDS recorded.
    """
    tfds = _tfds()
    manager = tfds.download.DownloadManager(
        download_dir=folder,
        url_infos=tfds.builder_cls(spec.name).url_infos,
        dataset_name=spec.name,
        force_checksums_validation=True,
    )
    # Requests, TFDS and its promises each have exceptions of their own here, and all mean the same to the user.
    try:
        with _quiet():
            return {name: Path(path) for name, path in manager.download(dict(urls)).items()}
    except Exception as error:
        raise UserError(f"--data: {spec.name!r} could not be downloaded ({_first_line(error)})") from error


def _builder_of(spec: Spec, splits: Mapping[str, Dataset]) -> type:
    """Derives a builder that takes its rows from memory where the stock one needs TensorFlow to get them."""
    stock = _tfds().builder_cls(spec.name)

    class InMemory(stock, skip_registration=True):
        # The prepared directory records both, and must not depend on who prepared it.
        __module__ = stock.__module__
        name = stock.name

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
            del dl_manager
            return {split: self._generate_examples(data) for split, data in splits.items()}

        def _generate_examples(self, data: Dataset) -> Iterator[tuple[int, dict[str, Any]]]:
            for index, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
                yield index, {"image": _encode_png(image), "label": int(label)}

    return InMemory


def _encode_png(image: np.ndarray) -> io.BytesIO:
    stream = io.BytesIO()
    Image.fromarray(image.squeeze(-1)).save(stream, format="png")
    stream.seek(0)
    return stream


def _decode_png(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__


def _tfds() -> ModuleType:
    import tensorflow_datasets

    return tensorflow_datasets


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # TFDS announces each step on stdout, which belongs to whoever called us, and draws a bar for each of them.
    _tfds().disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
