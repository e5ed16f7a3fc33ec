"""Fresh processes: one that measures something, and commands that are watched from outside."""

import contextlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from benchmarking.processors import confined, cpus

T = TypeVar("T")

TIMEOUT = 300.0  # seconds
LOOK_EVERY = 0.01  # seconds


class Watched(NamedTuple):
    """What was seen of a command."""

    seconds: float  # until the first sign
    peak_bytes: int | None  # most memory that was resident at once; None where the system does not tell


def apart(measure: Callable[..., T], *args: object, threads: int) -> T:
    """Calls a function in a fresh process that has so many threads."""
    context = multiprocessing.get_context("spawn")
    with confined(threads), ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(measure, *args).result()


def all_apart(measure: Callable[..., T], calls: Sequence[Sequence[object]], *, threads: int) -> list[T]:
    """Calls a function with each of the arguments in fresh processes, as many at once as there are CPUs for.

    Args:
      measure: what does not depend on how fast it is.
      calls: the arguments.
      threads: how many threads XLA has in each process.

    Returns:
      What it returned.
    """
    kept, context = os.environ.get("NPROC"), multiprocessing.get_context("spawn")
    os.environ["NPROC"] = str(threads)
    try:
        with ProcessPoolExecutor(max(1, len(cpus()) // threads), mp_context=context) as pool:
            return list(pool.map(measure, *zip(*calls, strict=True)))
    finally:
        os.environ.pop("NPROC") if kept is None else os.environ.update(NPROC=kept)


def watch(
    command: Sequence[str],
    *,
    started: Callable[[], bool],
    finished: Callable[[], bool] = lambda: False,
    threads: int,
    environment: Mapping[str, str],
) -> Watched:
    """Runs a Python command until it ends or has come far enough.

    The peak is the kernel's own count for the process (VmHWM), read until the end. The count that a parent gets of its
    ended children is no good: it begins with the parent's size where the child is made by vfork.

    Args:
      command: a script and its flags.
      started: whether the first sign is there.
      finished: whether it has come far enough; it then gets SIGTERM.
      threads: how many it has.
      environment: further variables.

    Returns:
      What was seen.

    Raises:
      RuntimeError: if it fails, or takes too long.
    """
    name, seconds, peak = Path(command[0]).name, None, None
    variables = {**os.environ, **environment, "OMP_NUM_THREADS": str(threads)}
    with confined(threads), tempfile.TemporaryFile("w+") as log:
        variables["NPROC"] = os.environ["NPROC"]
        begin = time.monotonic()
        with _ended(subprocess.Popen([sys.executable, *command], env=variables, stdout=log, stderr=log)) as process:
            while process.poll() is None and not (seconds and finished()):
                if time.monotonic() - begin > TIMEOUT:
                    raise RuntimeError(f"{name} took longer than {TIMEOUT:.0f} s")
                if seconds is None and started():
                    seconds = time.monotonic() - begin
                peak = _peak_bytes(process.pid) or peak
                time.sleep(LOOK_EVERY)
        if seconds is None or process.returncode not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            log.seek(0)
            last = (log.read().strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"{name} ended with code {process.returncode}: {last}")
    return Watched(seconds, peak)


@contextlib.contextmanager
def _ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Ends a process on the way out, if it has not ended itself."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # some save first
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _peak_bytes(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        if found := re.search(r"^VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
            return 1024 * int(found[1])
    return None
