"""A run's folder kept at an address as well, such as gs://bucket/run, while the run works in a folder on disk.

Locks, renames and appending make checkpoints and logs safe on disk; object stores have none of them. So nothing that a
run writes goes there at once. What is new is uploaded after each checkpoint and at the end, in a thread for which
training does not wait, and an upload that fails is tried again after the next checkpoint. What cannot be as safe as on
disk is said in :mod:`jaxgan.runs.address`.

A folder that is ahead of its address goes on, as after uploads that failed. If another run wrote to the address since,
the address wins. Several processes have a folder each: process 0 uploads its own, and the others fetch that when the
run goes on.
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

PATIENCE, AT_A_STOP = 600, 20  # seconds that the last upload may take, and that of a run which is stopped
TRIES = 3  # while files come and go

_log = logging.getLogger(__name__)


def local_copy(folder: str | Path) -> Path:
    """The folder of a run; of an address a copy of the run there, in the user's cache folder."""
    if (address := address_of(folder)) is None:
        return Path(folder)
    try:
        if fetch(address, root := local_folder(address)) is None:
            raise UserError(f"{address!r}: no run is there")
    except UserError as error:
        raise UserError(str(error).removeprefix("--workdir: ")) from error
    return root


def fetched(config: Config, *, process: int) -> Config:
    """Brings the folder of each process to what is at the address, after what process 0 has beyond that is there.

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
    """Brings a folder to what an address holds; one that is ahead of an address no one else wrote to stays.

    Args:
      address: where the run is kept.
      root: its folder here.
      give: whether to upload what the folder is ahead by.

    Returns:
      What is at the address; None if no run is.

    Raises:
      UserError: if the address cannot be reached or is damaged, or the folder is in use or all that there is of a run.
      OSError: if the disk is full or broken.
    """
    with addresses.opened(address) as store:
        for left in reversed(range(TRIES)):
            held, known = addresses.read(store), addresses.known(root, address)
            if held == known:
                return addresses.give(store, root, held) if held and give else held
            own = root.parent != local_folder(address).parent and ".process_" not in root.name
            if own and None in (held, known) and Workdir(root).config.exists():
                raise UserError(f"--mirror: {address!r} does not hold the run of {str(root)!r}; give another --workdir")
            try:
                addresses.take(store, root, held)
                return held
            except FileNotFoundError:  # the run at the address went on meanwhile
                if not left:
                    raise
    raise AssertionError


@contextmanager
def mirrored(run: Run, *, resume: bool) -> Iterator[Callable[[], None]]:
    """Keeps an address in step with the folder of a run that names one; only the main process does.

    Args:
      run: which; :func:`fetched` comes first.
      resume: whether it goes on; otherwise nothing of an earlier one stays at the address.

    Yields:
      A function to call now and then: it uploads if there is a new checkpoint, and raises OSError once another run
      writes to the address.

    Raises:
      UserError: if the address cannot be reached, holds something else, or another run has just written to it.
      OSError: on leaving, if not all is at the address. A run that fails warns of that, and fails as it did.
    """
    if run.mirror is None or not distributed.is_main_process():
        yield lambda: None
        return
    with addresses.opened(run.mirror) as store:
        uploads = _Uploads(store, run.workdir, addresses.claim(store, run.workdir, resume=resume))
    try:
        yield uploads.offer
    except Exception:
        if words := uploads.finish(AT_A_STOP):
            _log.warning("%s", words)
        raise
    if words := uploads.finish(PATIENCE):
        raise OSError(words)


class _Uploads:
    """Uploads, one at a time, in threads for which a process that ends does not wait."""

    def __init__(self, store: Store, root: Path, held: Held) -> None:
        self._store, self._root, self._held = store, root, held
        self._thread, self._offered = threading.Thread(), addresses.checkpoints(root)
        self._failure, self._taken, self._told = "", "", False

    def offer(self) -> None:
        """Uploads if there is a new checkpoint and nothing is on its way."""
        if self._taken:
            raise OSError(self._taken)
        if not self._thread.is_alive() and (saved := addresses.checkpoints(self._root)) != self._offered:
            self._offered = saved
            self._start()

    def finish(self, seconds: float) -> str:
        """Uploads what is left, in some seconds at most; returns what is wrong at the end."""
        deadline, self._told = time.monotonic() + seconds, True  # by the caller
        if self._thread.is_alive():
            self._thread.join(seconds)
        if not self._thread.is_alive() and not self._taken:
            self._start()
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._failure = f"{self._store.address!r} gives no answer"
        kept = f"; all is in {str(self._root)!r}" * self._root.exists()
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
            except Exception as error:  # each file system has its own
                self._failure = f"{self._store.address!r} cannot be written ({first_line(error)})"
                if not left or not isinstance(error, FileNotFoundError):
                    break
        if not self._told:
            _log.warning("%s; training goes on, and the next checkpoint is another try", self._failure)
        self._told = True
