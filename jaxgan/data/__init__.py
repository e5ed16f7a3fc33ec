"""Data sets of images.

``load`` decodes a directory that TFDS prepared, once, into a cache of plain arrays. Later runs map the cache into
memory and do not import TFDS. ``stream`` reads the same directory during a run. Both also take the path of one's own
pictures.
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
    state: str  # ``"prepared"``, ``"not prepared"``, or what is wrong with the directory
    sources: tuple[str, ...]  # the sources that it can be prepared from, nearest first


def load(
    name: str, *, split: str = "train", data_dir: PathLike | None = None, image_size: int | None = None
) -> Dataset:
    """Loads one split of a data set as whole arrays, and prepares the data set first if it is not prepared.

    Args:
      name: one of ``names()``, or the path of one's own pictures; see :mod:`jaxgan.data.pictures`.
      split: ``"train"`` or ``"test"``.
      data_dir: the root of prepared data sets; default: ``TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
      image_size: height and width to crop and resize one's own pictures to; None for their own.

    Returns:
      The split in the order of its TFDS records, its arrays mapped read-only from the cache, or made of those.

    Raises:
      UserError: if the name or split is unknown, the directory is damaged or unwritable, or no source can be reached.
    """
    _require_size(image_size)
    if is_path(name):
        return pictures.load(name, split, data_dir=_root(data_dir), image_size=image_size)
    if image_size is not None:
        raise UserError(f"--image-size: {image_size} is not allowed with images in memory, add --input stream")
    spec = find(name)
    pipeline.require_split(spec, split)
    found = pipeline.load(_on_disk(spec), "train" if spec.held_out else split, data_dir=_root(data_dir))
    if spec.held_out:
        return derived.hold_out(spec, found, split)
    return derived.stack(spec, found) if spec.parts else found


def stream(
    name: str, *, split: str = "train", data_dir: PathLike | None = None, image_size: int | None = None
) -> Stream:
    """Opens one split of a data set to be read in any order, and prepares the data set first if it is not prepared.

    Args:
      name: one of ``names()``, or the path of one's own pictures; with ``image_size``, any data set of images that
        TFDS has prepared.
      split: the name of a split, such as ``"train"``.
      data_dir: the root of prepared data sets; default: that of TFDS.
      image_size: height and width to crop and resize images to; default: those of the catalog.

    Returns:
      The split, whose records have the order of ``load``.

    Raises:
      UserError: as ``load``.
    """
    _require_size(image_size)
    if is_path(name):
        return pictures.stream(name, split, image_size=image_size)
    spec = find(name, image_size=image_size)
    if spec.parts:
        raise UserError(f"--input: 'stream' is not for {name}, which is made in memory; use --input memory")
    return pipeline.stream(spec, split, data_dir=_root(data_dir))


def prepare(name: str, *, data_dir: PathLike | None = None, source: PathLike | None = None) -> Path:
    """Prepares a data set, so that later loads need neither network nor source.

    Args:
      name: one of ``names()``.
      data_dir: the root of prepared data sets; default: that of TFDS.
      source: a folder of its four IDX files, gzipped or not; default: the embedded archive, else the network. A data
        set that is prepared already stays as it is, with a warning that the folder was not read.

    Returns:
      The directory, ``<data_dir>/<name>/<version>``, which any TFDS reads.

    Raises:
      UserError: as ``load``. Nothing half-written stays behind.
    """
    source = None if source is None else expand(source, field="--from")
    return pipeline.prepare(_on_disk(find(name)), data_dir=_root(data_dir), source=source).directory


def describe(name: str, *, data_dir: PathLike | None = None) -> Description:
    """Describes a data set, and changes nothing.

    Args:
      name: one of ``names()``.
      data_dir: the root of prepared data sets; default: that of TFDS.

    Returns:
      Its description.

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
    """The data set that a data set is made of, or itself."""
    return spec if spec.parts is None else find(spec.parts)


def _require_size(image_size: int | None) -> None:
    check("--image-size", image_size, int | None, number(None).metadata)


def _root(data_dir: PathLike | None) -> Path:
    root = default_data_dir() if data_dir is None else expand(data_dir, field="--data-dir")
    require_reachable(root)
    return root
