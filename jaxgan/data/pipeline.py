"""The one input path: source -> prepared TFDS directory -> ``.npy`` cache -> mapped arrays."""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jaxgan.data import cache, sources, tfds_directory
from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset
from jaxgan.data.prepared import Prepared, directory_of, inspect
from jaxgan.errors import UserError, unknown_choice

_log = logging.getLogger("jaxgan.data")


def load(spec: Spec, split: str, *, data_dir: Path) -> Dataset:
    """Loads a split, preparing the data set first where that has not been done."""
    if split not in spec.examples:
        raise unknown_choice("--split", split, spec.examples)
    prepared = prepare(spec, data_dir=data_dir)
    if data := cache.read(spec, split, prepared=prepared):
        return data
    data = tfds_directory.read(spec, split, data_dir=data_dir)
    if len(data.images) != spec.examples[split]:
        raise UserError(f"{prepared.directory}: damaged, only {len(data.images):,} {split} images; remove it")
    cache.write(spec, split, data, prepared=prepared)
    return cache.read(spec, split, prepared=prepared) or data


def prepare(spec: Spec, *, data_dir: Path, source: Path | None = None) -> Prepared:
    """Makes sure that a data set is prepared, all of it or nothing."""
    if prepared := inspect(spec, data_dir):
        return prepared
    _log.info("preparing %s in %s, which takes some seconds, once", spec.name, data_dir)
    with _staging(data_dir) as staging:
        splits = sources.fetch(spec, source=source, scratch=staging / "downloads")
        _publish(tfds_directory.write(spec, splits, data_dir=staging), directory_of(spec, data_dir))
        return inspect(spec, data_dir)


@contextlib.contextmanager
def _staging(data_dir: Path) -> Iterator[Path]:
    """Lends a folder on the disk of ``data_dir``, from which finished work is renamed into place."""
    created = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="incomplete.", dir=data_dir) as staging:
            yield Path(staging)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--data-dir: {str(data_dir)!r} cannot be written ({reason}), name another") from error
    finally:
        for folder in created:  # deepest first, and those in use stay
            with contextlib.suppress(OSError):
                folder.rmdir()


def _publish(finished: Path, final: Path) -> None:
    final.parent.mkdir(exist_ok=True)
    try:
        os.rename(finished, final)
    except OSError:
        # Another process was faster, and its work is as good as ours.
        if not final.is_dir():
            raise
        shutil.rmtree(finished)
