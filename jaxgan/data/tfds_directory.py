"""Writes, reads and downloads for prepared TFDS directories, without TensorFlow.

Only this module uses TFDS. It imports TFDS lazily, because a run on cached data never needs it.
"""

import contextlib
import importlib.util
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset, Records, Stream
from jaxgan.data.pixels import decode
from jaxgan.data.prepared import directory_of
from jaxgan.errors import MACHINE_FAULTS, UserError

FILE_FORMAT = "array_record"


def has_reader() -> bool:
    """Whether the file format of prepared directories is available; on Windows it is not."""
    return importlib.util.find_spec(FILE_FORMAT) is not None


def _require_reader(spec: Spec) -> None:
    if not has_reader():
        raise UserError(f"--data: {spec.name!r} needs the package {FILE_FORMAT}, not installed; Windows has none")


def write(spec: Spec, splits: Mapping[str, Dataset], *, data_dir: Path) -> Path:
    """Prepares a data set in the directory and order of the stock TFDS builder.

    Args:
      spec: the data set.
      splits: its images in the order of the IDX files; TFDS shuffles by index.
      data_dir: the root of prepared data sets.

    Returns:
      The prepared directory, ``<data_dir>/<name>/<version>``.

    Raises:
      OSError: if the disk is full or broken.
    """
    _require_reader(spec)
    builder = _builder_of(spec, splits)(data_dir=data_dir, version=spec.version, file_format=FILE_FORMAT)
    try:
        with _quiet():
            builder.download_and_prepare()
    except RuntimeError as error:  # the record writer gives the system error only as text
        fault = next((number for number in MACHINE_FAULTS if os.strerror(number) in str(error)), None)
        if fault is None:
            raise
        raise OSError(fault, os.strerror(fault)) from error
    return Path(builder.data_dir)


def read(spec: Spec, split: str, *, data_dir: Path) -> Dataset:
    """Reads a split of a prepared directory, in the order of its records.

    Args:
      spec: the data set.
      split: ``"train"`` or ``"test"``.
      data_dir: the root of prepared data sets.

    Returns:
      The split in memory.

    Raises:
      UserError: if a record is missing, damaged or of another shape.
    """
    return open_split(spec, split, data_dir=data_dir).everything()


def open_split(spec: Spec, split: str, *, data_dir: Path) -> Stream:
    """Opens a split of a prepared directory without reading records.

    Args:
      spec: the data set.
      split: the split.
      data_dir: the root of prepared data sets.

    Returns:
      The split. Its ``read`` is thread-safe and raises UserError as the function ``read`` does.

    Raises:
      UserError: if the directory is damaged.
    """
    _require_reader(spec)
    directory = directory_of(spec, data_dir)
    wanted = ("image", spec.label) if spec.label else ("image",)
    with _damage_named(directory, split):
        tfds = _tfds()
        builder = tfds.builder_from_directory(directory)
        source = builder.as_data_source(
            split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES, file_format=FILE_FORMAT
        )
        size = len(source)
        require_features(spec, wanted, builder.info.features)
        # Only these features are decoded: the forty attributes of a face would take longer than its pixels.
        features = tfds.features.FeaturesDict({name: builder.info.features[name] for name in wanted})

    def read_rows(rows: Records) -> tuple[np.ndarray, np.ndarray]:
        images = np.empty((len(rows), *spec.image_shape), np.uint8)
        labels = np.zeros(len(rows), np.int32)
        with _damage_named(directory, split):
            # One call for all rows decompresses each chunk once; a loop would do so for every row.
            for i, record in enumerate(source.__getitems__(list(map(int, rows)))):
                row = features.deserialize_example_np(record, decoders={"image": tfds.decode.SkipDecoding()})
                images[i] = decode(row["image"], shape=spec.image_shape, resized=spec.resized)
                if spec.label:
                    labels[i] = row[spec.label]
        return images, labels

    return Stream(spec.name, size, spec.image_shape, spec.class_names, read_rows)


def url(spec: Spec) -> str:
    """Returns the URL of the IDX files, with a final slash, from the stock TFDS builder."""
    return _tfds().builder_cls(spec.name).URL


def download(spec: Spec, urls: Mapping[str, str], *, folder: Path) -> dict[str, Path]:
    """Downloads files with the download manager of TFDS and its recorded checksums.

    Args:
      spec: the data set.
      urls: URLs by name.
      folder: the folder to write to.

    Returns:
      The downloaded files by name.

    Raises:
      UserError: if a file cannot be downloaded, or its checksum is not the recorded one.
    """
    tfds = _tfds()
    manager = tfds.download.DownloadManager(
        download_dir=folder,
        url_infos=tfds.builder_cls(spec.name).url_infos,
        dataset_name=spec.name,
        force_checksums_validation=True,
    )
    # Requests, TFDS and its promises raise different exceptions for a failed download.
    try:
        with _quiet():
            return {name: Path(path) for name, path in manager.download(dict(urls)).items()}
    except Exception as error:
        raise UserError(f"--data: {spec.name!r} could not be downloaded ({_first_line(error)})") from error


def _builder_of(spec: Spec, splits: Mapping[str, Dataset]) -> type:
    """Derives a TFDS builder that reads its rows from memory; the stock builder needs TensorFlow."""
    stock: Any = _tfds().builder_cls(spec.name)

    class InMemory(stock, skip_registration=True):  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]
        # The prepared directory records module and name, which must be those of the stock builder.
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


def require_features(spec: Spec, wanted: Sequence[str], features: Mapping[str, Any]) -> None:
    """Checks that a data set has the features to read, and images of uint8 or uint16.

    TFDS stores float32 images as four bytes per value, which would decode to other images.

    Args:
      spec: the data set.
      wanted: the names of the features to read.
      features: all features of the data set.

    Raises:
      UserError: if a feature is missing, or the images have another dtype.
    """
    if missing := [name for name in wanted if name not in features]:
        has = ", ".join(features) or "none"
        raise UserError(f"--data: {spec.name!r} has no feature {missing[0]!r} to read, it has {has}")
    image = features["image"]
    if not isinstance(image, _tfds().features.Image):
        raise UserError(f"--data: {spec.name!r} has {type(image).__name__} for 'image', it must be Image")
    if (kind := np.dtype(image.np_dtype).name) not in ("uint8", "uint16"):
        raise UserError(f"--data: {spec.name!r} has images of {kind}, they must be uint8 or uint16")


@contextlib.contextmanager
def _damage_named(directory: Path, split: str) -> Iterator[None]:
    # For a damaged file, the record reader, protobuf or the image decoder may raise any exception.
    try:
        yield
    except (ImportError, MemoryError, UserError):
        raise  # not damage
    except Exception as error:
        raise UserError(
            f"{directory}: damaged, remove it to prepare it again ({split}: {_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__


def _tfds() -> ModuleType:
    import tensorflow_datasets

    return tensorflow_datasets


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # TFDS prints each step on stdout, with a progress bar.
    _tfds().disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
