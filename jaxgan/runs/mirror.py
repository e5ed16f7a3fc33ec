"""Mirrors the folder of a run to an address, such as gs://bucket/run, while the run works in the folder on disk.

Locks, renames and appends make checkpoints and logs safe on disk; object stores have none of them. So a run writes to
disk only. New files are uploaded after each checkpoint and at the end, in a background thread, and a failed upload is
retried after the next checkpoint. For what is less safe than on disk see :mod:`jaxgan.runs.address`.

If the folder is ahead of the address, as after failed uploads, the run resumes from the folder. If another run wrote to
the address since, the address wins. In a distributed run each process has a folder: process 0 uploads its folder, and
the others download it when the run resumes.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.fields import address_of, local_folder
from jaxgan.runs import address as addresses
from jaxgan.runs.address import Held, Store, Taken
from jaxgan.runs.digests import first_line
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime import distributed

PATIENCE, AT_A_STOP = 600, 20  # seconds for the last upload of a finished run, and of one that stops early
TRIES = 3  # attempts while files appear and disappear

_log = logging.getLogger(__name__)


def local_copy(folder: str | Path) -> Path:
    """Returns the folder of a run; downloads a run at an address to the user's cache directory first."""
    if (address := address_of(folder)) is None:
        return Path(folder)
    try:
        if fetch(address, root := local_folder(address)) is None:
            raise UserError(f"{address!r}: there is no run at this address")
    except UserError as error:
        raise UserError(str(error).removeprefix("--workdir: ")) from error
    return root


def fetched(config: Config, *, process: int) -> Config:
    """Uploads what process 0 is ahead of the address by, and then synchronizes the folder of each process with it.

    Returns the config with the folder of this process.

    Raises:
      UserError: as :func:`fetch`, in all processes.
    """
    run, address = config.run, str(config.run.mirror)
    folder = run.workdir.with_name(f"{run.workdir.name}.process_{process}") if process else run.workdir
    distributed.on_all_processes("give", lambda: process or fetch(address, folder, give=True))
    distributed.on_all_processes("fetch", lambda: process and fetch(address, folder))
    return Config(config.method, dataclasses.replace(run, workdir=folder))


def fetch(address: str, root: Path, *, give: bool = False) -> Held | None:
    """Synchronizes a folder with an address; a folder that is ahead stays, unless another run wrote to the address.

    Args:
      address: the address of the run.
      root: its local folder.
      give: whether to upload what the folder is ahead by.

    Returns:
      The manifest at the address; None if there is no run.

    Raises:
      UserError: if the address cannot be reached or is damaged, or the folder is in use or the only copy of a run.
      OSError: if the disk is full or broken.
    """
    with addresses.opened(address) as store:
        for left in reversed(range(TRIES)):
            held, known = addresses.read(store), addresses.known(root, address)
            if held == known:
                return addresses.give(store, root, held) if held and give else held
            users_folder = root.parent != local_folder(address).parent and ".process_" not in root.name
            if users_folder and None in (held, known) and Workdir(root).config.exists():
                raise UserError(f"--mirror: {address!r} does not hold the run of {str(root)!r}; give another --workdir")
            try:
                addresses.take(store, root, held)
                return held
            except FileNotFoundError:  # the run at the address uploaded meanwhile
                if not left:
                    raise
    raise AssertionError


@contextmanager
def mirrored(run: Run, *, resume: bool) -> Iterator[Callable[[], None]]:
    """Mirrors the folder of a run to its address, if it has one; only the main process does.

    Args:
      run: the run; call :func:`fetched` first.
      resume: whether the run resumes; otherwise the files of an earlier run at the address are deleted.

    Yields:
      A function to call regularly: it uploads if there is a new checkpoint, and raises OSError once another run writes
      to the address.

    Raises:
      UserError: if the address cannot be reached, holds something else, or another run has just written to it.
      OSError: on exit, if not all files are uploaded. If the run fails, this is a warning, and its error propagates.
    """
    if run.mirror is None or not distributed.is_main_process():
        yield lambda: None
        return
    with addresses.opened(run.mirror) as store:
        uploads = _Uploads(store, run.workdir, addresses.claim(store, run.workdir, resume=resume))
    try:
        yield uploads.offer
    except Exception:
        if message := uploads.finish(AT_A_STOP):
            _log.warning("%s", message)
        raise
    if message := uploads.finish(PATIENCE):
        raise OSError(message)


class _Uploads:
    """Uploads one at a time, in daemon threads."""

    def __init__(self, store: Store, root: Path, held: Held) -> None:
        self._store, self._root, self._held = store, root, held
        self._thread, self._offered = threading.Thread(), addresses.checkpoints(root)
        self._failure, self._taken, self._warned = "", "", False

    def offer(self) -> None:
        """Starts an upload if there is a new checkpoint and no upload is running."""
        if self._taken:
            raise OSError(self._taken)
        if not self._thread.is_alive() and (saved := addresses.checkpoints(self._root)) != self._offered:
            self._offered = saved
            self._start()

    def finish(self, seconds: float) -> str:
        """Uploads what is left, within a time limit; returns an error message, or an empty text."""
        deadline, self._warned = time.monotonic() + seconds, True  # the caller reports the error
        if self._thread.is_alive():
            self._thread.join(seconds)
        if not self._thread.is_alive() and not self._taken:
            self._start()
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._failure = f"{self._store.address!r} does not respond"
        kept = f"; all files are in {str(self._root)!r}" * self._root.exists()
        return self._taken or (self._failure and self._failure + kept)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._upload, daemon=True)
        self._thread.start()

    def _upload(self) -> None:
        for left in reversed(range(TRIES)):
            try:
                self._held, self._failure = addresses.give(self._store, self._root, self._held), ""
                return
            except Taken as error:
                self._taken = str(error)
                return
            except Exception as error:  # each file system raises its own
                self._failure = f"{self._store.address!r} cannot be written ({first_line(error)})"
                if not left or not isinstance(error, FileNotFoundError):
                    break
        if not self._warned:
            _log.warning("%s; training continues, with another attempt after the next checkpoint", self._failure)
        self._warned = True
