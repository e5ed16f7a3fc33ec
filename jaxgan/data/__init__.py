"""Where images come from.

Everything enters through ``load``: a directory prepared by TFDS (any TFDS reads it) is decoded once into a cache of
plain arrays, which later runs map into memory without importing TFDS. ``stream`` opens the same directory to be read
while a run goes on.
"""

import dataclasses
import os
from pathlib import Path

from jaxgan.data import pipeline, stacking
from jaxgan.data.catalog import Spec, find, names
from jaxgan.data.dataset import Dataset, Stream
from jaxgan.data.prepared import default_data_dir, directory_of, expand, inspect, require_reachable
from jaxgan.errors import UserError

__all__ = ["Dataset", "Description", "Stream", "describe", "load", "names", "prepare", "stream"]

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Description:
    """A data set and its whereabouts.

    Attributes:
      spec: what is known of it.
      directory: where it is, or would be, prepared.
      state: ``"prepared"``, ``"not prepared"``, or what is wrong with the directory.
      sources: where it can be prepared from, nearest first.
    """

    spec: Spec
    directory: Path
    state: str
    sources: tuple[str, ...]


def load(name: str, *, split: str = "train", data_dir: PathLike | None = None) -> Dataset:
    """Loads one split of a data set as whole arrays, preparing it first where that has not been done.

    Args:
      name: one of ``names()``.
      split: ``"train"`` or ``"test"``.
      data_dir: the root of prepared data sets; default: ``TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Returns:
      The split in the order of its TFDS records, its arrays mapped read-only from the cache. Of images that are stacked
      from another data set's, those to train on come in parts.

    Raises:
      UserError: if the name or split is unknown, the directory is damaged or unwritable, or no source can be reached.
    """
    spec = find(name)
    found = pipeline.load(_on_disk(spec), split, data_dir=_root(data_dir))
    if spec.parts is None:
        return found
    parts = stacking.in_parts(spec, found)
    return parts if split == "train" else stacking.put_together(parts)


def stream(
    name: str, *, split: str = "train", data_dir: PathLike | None = None, image_size: int | None = None
) -> Stream:
    """Opens one split of a data set to be read in any order, preparing it first where that has not been done.

    Args:
      name: one of ``names()``, or with ``image_size`` of any data set of images that TFDS has prepared.
      split: the name of a split, such as ``"train"``.
      data_dir: the root of prepared data sets; default: where TFDS looks.
      image_size: height and width to crop and resize images to; default: those of the catalog.

    Returns:
      The split, whose records have the order of ``load``.

    Raises:
      UserError: as ``load``.
    """
    spec = find(name, image_size=image_size)
    if spec.parts:
        raise UserError(f"--input: 'stream' is not for {name}, which is put together on the device; use --input memory")
    return pipeline.stream(spec, split, data_dir=_root(data_dir))


def prepare(name: str, *, data_dir: PathLike | None = None, source: PathLike | None = None) -> Path:
    """Makes sure that a data set is prepared, so that later loads need neither network nor source.

    Args:
      name: one of ``names()``.
      data_dir: the root of prepared data sets; default: where TFDS looks.
      source: a folder of its four IDX files, gzipped or not; default: the embedded archive, else the network. What is
        prepared already is left as it is, with a warning that the folder was not read.

    Returns:
      The directory, ``<data_dir>/<name>/<version>``, which any TFDS reads.

    Raises:
      UserError: as ``load``; and nothing half-written is left behind.
    """
    source = None if source is None else expand(source, field="--from")
    return pipeline.prepare(_on_disk(find(name)), data_dir=_root(data_dir), source=source).directory


def describe(name: str, *, data_dir: PathLike | None = None) -> Description:
    """Describes a data set without touching anything.

    Args:
      name: one of ``names()``.
      data_dir: the root of prepared data sets; default: where TFDS looks.

    Returns:
      Its description.

    Raises:
      UserError: if the name is unknown or the root is out of reach.
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


def _root(data_dir: PathLike | None) -> Path:
    root = default_data_dir() if data_dir is None else expand(data_dir, field="--data-dir")
    require_reachable(root)
    return root
