"""The working directory of a run: its layout, its lock, and whether a run may resume in it."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from jaxgan.config import Config, changed_fields, from_json, to_json
from jaxgan.errors import NO_LOCKS, UserError, of_disk
from jaxgan.fields import require_local
from jaxgan.runtime import distributed

PATTERNS = "[*?"  # Orbax treats a path with these as a pattern, and finds no files or other ones
COORDINATES = ("step", "epoch", "replica", "diverged")  # columns of metric rows that are no metrics


class _Inside:
    """A path in a working directory, by its name there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, workdir: "Workdir", _: type) -> Path:
        return workdir.root / self._name


class Workdir(NamedTuple):
    """The working directory of a run, and the paths in it."""

    root: Path

    config = _Inside("config.json")  # the config, enough to rebuild the method
    metrics = _Inside("metrics.jsonl")  # one JSON object per line, the same bytes however often the run is interrupted
    timings = _Inside("timings.jsonl")  # seconds of training at each row; an earlier attempt counts up to its last row
    tensorboard = _Inside("tensorboard")  # event files
    checkpoints = _Inside("checkpoints")  # Orbax checkpoints, one folder per step
    best = _Inside("best")  # the best checkpoint by the metric of ``keep_best``, in the same format
    figures = _Inside("figures")  # PNG files, drawn from the metrics and the samples
    samples = _Inside("samples")  # arrays of generated images, one file per sampled epoch
    profile = _Inside("profile")  # profiler traces, for TensorBoard and Perfetto
    data = _Inside("data.json")  # shape, classes and fingerprint of training images that are not in the catalog
    method = _Inside("method.json")  # the fingerprint of a method that is code
    environment = _Inside("environment.json")  # versions, system and devices that the run was trained with

    def written(self) -> list[Path]:
        """Lists what a run writes besides its config."""
        logs = [self.data, self.method, self.environment, self.metrics, self.timings, self.tensorboard, self.profile]
        return [*logs, self.checkpoints, self.best, self.figures, self.samples]

    def files(self) -> list[Path]:
        """Lists every file of the run; a checkpoint, which is a folder, counts as one."""
        folders = (self.tensorboard, self.profile, self.figures, self.samples)
        inside = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
        saved = [p for folder in (self.checkpoints, self.best) for p in folder.glob("*") if p.name.isdigit()]
        alone = (self.config, self.data, self.method, self.environment, self.metrics, self.timings)
        return sorted([path for path in (*alone, *inside, *saved) if path.exists()])


def require_readable(root: Path) -> None:
    """Refuses a folder from which Orbax cannot read checkpoints.

    Raises:
      UserError: if its path is an address, has a character that Orbax misreads, or lies in a removed folder.
    """
    require_local("--workdir", root)
    try:
        path = str(root.absolute())
    except FileNotFoundError as error:
        raise UserError(
            f"--workdir: {str(root)!r} is in the current folder, which was removed; go to another"
        ) from error
    if os.sep != "\\" and "\\" in path:
        raise UserError(f"--workdir: {path!r} has a backslash, which Orbax treats as a slash; give another folder")
    if any("\ud800" <= c <= "\udfff" for c in path):
        raise UserError(f"--workdir: {path!r} has bytes that are not text; give another folder")


def require_writable(root: Path) -> None:
    """Refuses a folder in which Orbax cannot save checkpoints that can be read again.

    Raises:
      UserError: as :func:`require_readable`, or if its path looks like a glob pattern.
    """
    require_readable(root)
    path = str(root.absolute())
    if found := next((c for c in path if c in PATTERNS), None):
        raise UserError(f"--workdir: {path!r} has {found!r}, with which checkpoints are lost; give another folder")


def load_config(workdir: Workdir) -> Config | None:
    """Reads the config of the run in a folder; None if the folder holds no run.

    Raises:
      UserError: if the config is damaged or the folder is a file.
    """
    if os.path.exists(workdir.root) and not os.path.isdir(workdir.root):
        raise UserError(f"--workdir: {str(workdir.root)!r} is a file, it must be a folder")
    try:
        return from_json(workdir.config.read_text("utf-8-sig"), source=str(workdir.config))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--workdir: {str(workdir.config)!r} cannot be read ({error})") from error


def check_resume(config: Config, *, started: Config | None, checkpointed: bool) -> bool:
    """Decides whether a run resumes from the checkpoint in its folder.

    Returns:
      True to resume from the newest checkpoint, False to start at step 0.

    Raises:
      UserError: if it must resume but cannot, or if a field that the numbers depend on differs.
    """
    resume, root = config.run.resume, config.run.workdir
    if started is None and (foreign := [p.name for p in Workdir(root).written() if p.exists()]):
        raise UserError(f"--workdir: {str(root)!r} has {foreign[0]!r} but no config.json of a run; give another folder")
    if resume == "must" and not checkpointed:
        raise UserError(f"--resume: 'must' needs a checkpoint, {str(root)!r} has none; 'auto' starts at step 0")
    if started is None or resume == "never":
        return False
    way_out = "give another --workdir, or --resume never to replace it"
    if started.kind != config.kind:
        raise UserError(f"--workdir: {str(root)!r} holds a run of {started.kind}, not of {config.kind}; {way_out}")
    if changes := changed_fields(started, config):
        raise UserError(f"--workdir: the run in {str(root)!r} was started differently: {', '.join(changes)}; {way_out}")
    return checkpointed


def begin(workdir: Workdir, config: Config, *, resume: bool) -> None:
    """Writes the config of a run to its folder; without ``resume``, deletes the files of an earlier run first.

    Raises:
      UserError: if the folder cannot be written.
      OSError: if the disk is full or broken.
    """
    try:
        workdir.root.mkdir(parents=True, exist_ok=True)
        if not resume:
            for path in workdir.written():
                clear(path)
        write_atomically(workdir.config, to_json(config))
    except OSError as error:
        raise _unwritable(workdir.root, error) from error


def _unwritable(root: Path, error: OSError | NotImplementedError) -> Exception:
    """Makes the error for a folder that cannot be written or locked."""
    number, reason = getattr(error, "errno", errno.ENOSYS), getattr(error, "strerror", None) or error
    if number in NO_LOCKS:
        way_out = "mount it with locks, or give a folder on another disk"
        return UserError(f"--workdir: the file system of {str(root)!r} supports no locks ({reason}); {way_out}")
    message = f"--workdir: {str(root)!r} cannot be written ({reason})"
    return of_disk(message, error)


def clear(path: Path) -> None:
    """Deletes a file, or the content of a folder, which may itself be a link to another disk."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for entry in path.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


@contextmanager
def locked(workdir: Workdir) -> Iterator[Callable[[], None]]:
    """Locks a folder, created if needed, for one run at a time; the system releases the lock if the run dies.

    Yields:
      A function that raises OSError once the folder is no longer the one that was locked.

    Raises:
      UserError: if another run holds the folder, or it cannot be made or locked.
      OSError: if the disk is full or broken.
    """
    path, created = workdir.root / ".lock", not workdir.root.exists()
    try:
        workdir.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path).acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"--workdir: {str(workdir.root)!r} is in use by another run; give another folder") from error
    except (OSError, NotImplementedError) as error:  # the latter by FileLock, for lack of locks
        raise _unwritable(workdir.root, error) from error
    with lock, path.open("rb") as held:

        def require_here() -> None:
            with suppress(OSError):
                if os.path.samestat(os.fstat(held.fileno()), path.stat()):
                    return
            raise OSError(f"{str(workdir.root)!r} was removed, moved or replaced during the run")

        try:
            yield require_here
        finally:
            with suppress(OSError):  # not ours if another folder replaced this one
                require_here()
                held.close()
                path.unlink()
            if created:
                with suppress(OSError):  # unless the run wrote something
                    workdir.root.rmdir()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces a file's content atomically: readers never find half of it, not even after a crash."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # tempfile's would be private to this user
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def require_shared(folder: Path, *, seconds: float = 5) -> None:
    """Requires that all processes see the same folder, by a temporary file that the main process writes.

    A network file system may take some seconds to show a new file.

    Raises:
      UserError: if a process does not see the file.
    """
    name = distributed.all_gather_text("mark", f".meeting-{secrets.token_hex(8)}")[0]
    if distributed.is_main_process():
        (folder / name).touch()
    distributed.all_gather_text("marked")
    deadline = time.monotonic() + seconds
    while not (seen := folder.is_dir() and name in os.listdir(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    blind = [index for index, answer in enumerate(distributed.all_gather_text("seen", "yes" * seen)) if not answer]
    if distributed.is_main_process():
        (folder / name).unlink()
    if blind:
        where = f"process {blind[0]} does not see what process 0 writes in {str(folder)!r}"
        raise UserError(f"--workdir: {where}; give a folder that all hosts share")
