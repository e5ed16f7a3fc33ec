"""The one input path: source -> prepared TFDS directory -> ``.npy`` cache -> mapped arrays; a stream has no cache."""

import contextlib
import logging
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from jaxgan.data import cache, sources, tfds_directory
from jaxgan.data.catalog import Spec
from jaxgan.data.dataset import Dataset, Stream
from jaxgan.data.prepared import Prepared, completed, directory_of, inspect, unprepared
from jaxgan.errors import UserError, unknown_choice

_log = logging.getLogger("jaxgan.data")

# A staging folder tells whose it is: a process that is killed cannot remove it, so a later one does.
_STAGING = re.compile(r"incomplete\.(?P<host>[\w-]*)\.(?P<pid>[0-9]+)\.\w+")
_STAGING_SECONDS = 24 * 60 * 60  # by then it is abandoned, on whatever machine and under whatever reused pid


def load(spec: Spec, split: str, *, data_dir: Path) -> Dataset:
    """Loads a split, preparing the data set first where that has not been done."""
    _require_split(spec, split)
    if spec.stream_only:
        raise UserError(f"--data: {spec.name!r} is not to be held in memory; train on it with --input stream")
    prepared = prepare(spec, data_dir=data_dir)
    if data := cache.read(spec, split, prepared=prepared):
        return data
    data = tfds_directory.read(spec, split, data_dir=data_dir)
    _require_whole(spec, split, data, prepared=prepared)
    cache.write(spec, split, data, prepared=prepared)
    return cache.read(spec, split, prepared=prepared) or data


def stream(spec: Spec, split: str, *, data_dir: Path) -> Stream:
    """Opens a split to be read in any order, preparing the data set first where that has not been done."""
    spec = completed(spec, data_dir)
    _require_split(spec, split)
    prepared = prepare(spec, data_dir=data_dir)
    data = tfds_directory.open_split(spec, split, data_dir=data_dir)
    _require_whole(spec, split, data, prepared=prepared)
    return data


def _require_split(spec: Spec, split: str) -> None:
    if split not in spec.examples:
        raise unknown_choice("--split", split, spec.examples)


def _require_whole(spec: Spec, split: str, data: Dataset | Stream, *, prepared: Prepared) -> None:
    if data.size != spec.examples[split]:
        raise UserError(f"{prepared.directory}: damaged, only {data.size:,} {split} images; remove it")


def prepare(spec: Spec, *, data_dir: Path, source: Path | None = None) -> Prepared:
    """Makes sure that a data set is prepared, all of it or nothing."""
    if source is not None and spec.idx:
        sources.require_folder(source, spec=spec)
    if prepared := inspect(spec, data_dir):
        if source is not None:
            _log.warning("%s is already prepared, --from %s was not read", spec.name, source)
        return prepared
    if not spec.idx:
        raise unprepared(spec, data_dir)
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
        _remove_abandoned(data_dir)
        prefix = f"incomplete.{_host()}.{os.getpid()}."
        with tempfile.TemporaryDirectory(prefix=prefix, dir=data_dir) as staging:
            yield Path(staging)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--data-dir: {str(data_dir)!r} cannot be written ({reason}), name another") from error
    finally:
        for folder in created:  # deepest first, and those in use stay
            with contextlib.suppress(OSError):
                folder.rmdir()


def _remove_abandoned(data_dir: Path) -> None:
    # Another process may sweep at the same time, and what cannot be removed harms nobody.
    with contextlib.suppress(OSError):
        for folder in data_dir.iterdir():
            if (owner := _STAGING.fullmatch(folder.name)) and _is_abandoned(folder, owner):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path, owner: re.Match[str]) -> bool:
    if time.time() - folder.stat().st_mtime > _STAGING_SECONDS:
        return True
    return owner["host"] == _host() and not _is_alive(int(owner["pid"]))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # sends nothing, only asks
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _host() -> str:
    return re.sub(r"[^\w-]", "-", platform.node())


def _publish(finished: Path, final: Path) -> None:
    final.parent.mkdir(exist_ok=True)
    try:
        os.rename(finished, final)
    except OSError:
        # Another process was faster, and its work is as good as ours.
        if not final.is_dir():
            raise
        shutil.rmtree(finished)
