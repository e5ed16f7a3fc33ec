"""The data pipeline: source, prepared TFDS directory, ``.npy`` cache, memory-mapped arrays. Streams skip the cache."""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from jaxgan.data import cache, sources, tfds_directory
from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset, Stream
from jaxgan.data.order import tfds_order
from jaxgan.data.prepared import Prepared, completed, directory_of, inspect, unprepared
from jaxgan.errors import NO_LOCKS, UserError, of_disk, unknown_choice

_log = logging.getLogger(__name__)

STAGING = "incomplete.jaxgan"  # folder for a data set that is not yet complete


def load(spec: Spec, split: str, *, data_dir: Path) -> Dataset:
    """Loads a split, and prepares the data set first if needed."""
    require_split(spec, split)
    if spec.stream_only:
        raise UserError(f"--data: {spec.name!r} is too large for memory; train on it with --input stream")
    if spec.idx and not tfds_directory.has_reader() and not directory_of(spec, data_dir).exists():
        return _load_without_tfds(spec, split, data_dir=data_dir)
    prepared = prepare(spec, data_dir=data_dir)
    if data := cache.read(spec, split, prepared=prepared):
        return data
    data = tfds_directory.read(spec, split, data_dir=data_dir)
    _require_whole(spec, split, data, prepared=prepared)
    cache.write(spec, split, data, prepared=prepared)
    return cache.read(spec, split, prepared=prepared) or data


def _load_without_tfds(spec: Spec, split: str, *, data_dir: Path) -> Dataset:
    """Loads a split from its IDX files into the cache, in the order of TFDS.

    Windows lacks ``array_record``, the file format of prepared directories.
    """
    arrays = Prepared(data_dir / spec.name / "arrays", f"the IDX files of {spec.name} {spec.version}")
    if data := cache.read(spec, split, prepared=arrays):
        return data
    with _locked(data_dir), _staging(data_dir) as staging:
        data = sources.fetch(spec, source=None, scratch=staging)[split]
    order = tfds_order(data.size, split)
    data = data._replace(images=data.images[order], labels=data.labels[order])
    cache.write(spec, split, data, prepared=arrays)
    return cache.read(spec, split, prepared=arrays) or data


def stream(spec: Spec, split: str, *, data_dir: Path) -> Stream:
    """Opens a split for random access, and prepares the data set first if needed."""
    spec = completed(spec, data_dir)
    require_split(spec, split)
    prepared = prepare(spec, data_dir=data_dir)
    data = tfds_directory.open_split(spec, split, data_dir=data_dir)
    _require_whole(spec, split, data, prepared=prepared)
    return data


def require_split(spec: Spec, split: str) -> None:
    """Raises UserError if a data set has no such split."""
    if split not in spec.examples:
        raise unknown_choice(f"--data: split of {spec.name!r}", split, spec.examples)


def _require_whole(spec: Spec, split: str, data: Dataset | Stream, *, prepared: Prepared) -> None:
    if data.size != spec.examples[split]:
        counted = f"{data.size:,} {split} images, but its metadata says {spec.examples[split]:,}"
        raise UserError(f"{prepared.directory}: damaged, {counted}; remove it")


def prepare(spec: Spec, *, data_dir: Path, source: Path | None = None) -> Prepared:
    """Prepares a data set if needed, whole or not at all, and in one process at a time."""
    if source is not None and spec.idx:
        sources.require_folder(source, spec=spec)
    if prepared := inspect(spec, data_dir):
        if source is not None:
            _log.warning("%s is already prepared, --from %s was not read", spec.name, source)
        return prepared
    if not spec.idx:
        raise unprepared(spec, data_dir)
    with _locked(data_dir):
        if prepared := inspect(spec, data_dir):  # another process prepared it meanwhile
            return prepared
        _log.info("preparing %s in %s; this happens once and takes seconds", spec.name, data_dir)
        with _staging(data_dir) as staging:
            splits = sources.fetch(spec, source=source, scratch=staging / "downloads")
            _publish(tfds_directory.write(spec, splits, data_dir=staging), directory_of(spec, data_dir))
        prepared = inspect(spec, data_dir)
    assert prepared is not None
    return prepared


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Lets one process at a time prepare data sets in a folder; creates the folder if needed.

    The operating system releases the lock of a process that dies.
    """
    created = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    path = data_dir / ".lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    except (OSError, NotImplementedError) as error:  # the latter from FileLock, without locks
        number, reason = getattr(error, "errno", errno.ENOSYS), getattr(error, "strerror", None) or error
        fault = "cannot be locked" if number in NO_LOCKS else "cannot be written"
        raise of_disk(f"--data-dir: {str(data_dir)!r} {fault} ({reason}), name another", error) from error
    finally:
        for folder in created:  # deepest first; folders with content stay
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def _staging(data_dir: Path) -> Iterator[Path]:
    """Yields a temporary folder in ``data_dir``, from which the finished data set can be renamed into place."""
    folder = data_dir / STAGING
    shutil.rmtree(folder, ignore_errors=True)  # the caller has the lock, so a killed process left it
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(finished: Path, final: Path) -> None:
    final.parent.mkdir(exist_ok=True)
    try:
        os.rename(finished, final)
    except OSError:
        if not final.is_dir():  # otherwise TFDS, which takes no lock, has prepared it
            raise
