"""Data sets of images.

``load`` decodes a prepared TFDS directory once into a cache of NumPy arrays. Later runs memory-map the cache and do not
import TFDS. ``stream`` reads the same directory during a run. Both also accept the path of your own pictures.
"""

import dataclasses
import os
from pathlib import Path

from jaxgan.data import derived, pictures, pipeline
from jaxgan.data.catalog import ARRAYS, Spec, find, names
from jaxgan.data.dataset import Dataset, Stream
from jaxgan.data.pictures import from_arrays, is_path, key
from jaxgan.data.prepared import default_data_dir, directory_of, expand, inspect, require_reachable
from jaxgan.errors import UserError
from jaxgan.fields import check, number

__all__ = ["ARRAYS", "Dataset", "Description", "Stream"]
__all__ += ["describe", "from_arrays", "is_path", "key", "load", "names", "prepare", "stream"]

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Description:
    """A data set and the state of its directory."""

    spec: Spec  # its entry in the catalog
    directory: Path  # its prepared directory, which need not exist
    state: str  # ``"prepared"``, ``"not prepared"``, or the fault of the directory
    sources: tuple[str, ...]  # the sources that can prepare it, nearest first


def load(
    name: str, *, split: str = "train", data_dir: PathLike | None = None, image_size: int | None = None
) -> Dataset:
    """Loads one split of a data set as arrays, and prepares the data set first if needed.

    Args:
      name: one of ``names()``, or the path of your own pictures; see :mod:`jaxgan.data.pictures`.
      split: ``"train"`` or ``"test"``.
      data_dir: the root of prepared data sets; default: ``TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
      image_size: height and width to crop and resize your own pictures to; None to keep theirs.

    Returns:
      The split in the order of its TFDS records, as read-only arrays from the cache; derived data sets are computed.

    Raises:
      UserError: if the name or split is unknown, the directory is damaged or unwritable, or no source can be reached.
    """
    _require_size(image_size)
    if is_path(name):
        return pictures.load(name, split, data_dir=_root(data_dir), image_size=image_size)
    if image_size is not None:
        way_out = "leave it out, or train with --input stream"
        raise UserError(f"--image-size: {image_size} is not allowed with {name!r} in memory; {way_out}")
    spec = find(name)
    pipeline.require_split(spec, split)
    data = pipeline.load(_on_disk(spec), "train" if spec.held_out else split, data_dir=_root(data_dir))
    if spec.held_out:
        return derived.hold_out(spec, data, split)
    return derived.stack(spec, data) if spec.parts else data


def stream(
    name: str, *, split: str = "train", data_dir: PathLike | None = None, image_size: int | None = None
) -> Stream:
    """Opens one split of a data set for random access, and prepares the data set first if needed.

    Args:
      name: one of ``names()``, or the path of your own pictures; with ``image_size``, any image data set that TFDS has
        prepared.
      split: the name of a split, such as ``"train"``.
      data_dir: the root of prepared data sets; default: that of TFDS.
      image_size: height and width to crop and resize images to; default: those of the catalog.

    Returns:
      The split, in the order of ``load``.

    Raises:
      UserError: as ``load``.
    """
    _require_size(image_size)
    if is_path(name):
        return pictures.stream(name, split, image_size=image_size)
    spec = find(name, image_size=image_size)
    if spec.parts:
        raise UserError(f"--input: 'stream' is not allowed for {name}, which is computed in memory; use --input memory")
    return pipeline.stream(spec, split, data_dir=_root(data_dir))


def prepare(name: str, *, data_dir: PathLike | None = None, source: PathLike | None = None) -> Path:
    """Prepares a data set, so that later loads need neither its source nor a network.

    Args:
      name: one of ``names()``.
      data_dir: the root of prepared data sets; default: that of TFDS.
      source: a folder of its four IDX files, gzipped or not; default: the embedded archive, else the network. If the
        data set is prepared already, the folder is not read and a warning says so.

    Returns:
      The directory, ``<data_dir>/<name>/<version>``, which TFDS can read.

    Raises:
      UserError: as ``load``. No partial files remain.
    """
    source = None if source is None else expand(source, field="--from")
    return pipeline.prepare(_on_disk(find(name)), data_dir=_root(data_dir), source=source).directory


def describe(name: str, *, data_dir: PathLike | None = None) -> Description:
    """Describes a data set, without side effects.

    Args:
      name: one of ``names()``.
      data_dir: the root of prepared data sets; default: that of TFDS.

    Returns:
      The entry in the catalog and the state of the directory.

    Raises:
      UserError: if the name is unknown or the root cannot be entered.
    """
    spec, root = find(name), _root(data_dir)
    source = _on_disk(spec)
    try:
        state = "prepared" if inspect(source, root) else "not prepared"
    except UserError as error:
        state = str(error)
    sources = ("built in",) * (source.archive is not None) + (("--from", "network") if source.idx else ("TFDS",))
    return Description(spec, directory_of(source, root), state, sources)


def _on_disk(spec: Spec) -> Spec:
    """Returns the data set on disk that a derived data set is computed from, or the data set itself."""
    return spec if spec.parts is None else find(spec.parts)


def _require_size(image_size: int | None) -> None:
    check("--image-size", image_size, int | None, number(None).metadata)


def _root(data_dir: PathLike | None) -> Path:
    root = default_data_dir() if data_dir is None else expand(data_dir, field="--data-dir")
    require_reachable(root)
    return root
