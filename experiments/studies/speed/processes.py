"""Fresh processes: one that measures something on a number of CPUs, and commands that are watched from outside."""

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

from studies.machine import cpus

T = TypeVar("T")

TIMEOUT = 300.0  # seconds
POLL = 0.01  # seconds


@contextlib.contextmanager
def confined(threads: int) -> Iterator[None]:
    """Confines processes started within to as many CPUs as they have threads.

    XLA makes as many threads as it finds CPUs, or as the variable NPROC says where the system has no CPU affinity.
    """
    before, nproc = cpus(), os.environ.get("NPROC")
    os.environ["NPROC"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, before[:threads])
    try:
        yield
    finally:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, before)
        os.environ.pop("NPROC") if nproc is None else os.environ.update(NPROC=nproc)


def in_fresh_process(measure: Callable[..., T], *args: object, threads: int) -> T:
    """Calls a function in a fresh process with a number of threads."""
    context = multiprocessing.get_context("spawn")
    with confined(threads), ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(measure, *args).result()


class Watched(NamedTuple):
    """What was seen of a command."""

    seconds: float  # until the first sign
    peak_bytes: int | None  # most memory resident at once; None where the system does not tell


def watch(
    command: Sequence[str],
    *,
    started: Callable[[], bool],
    finished: Callable[[], bool] = lambda: False,
    threads: int,
    environment: Mapping[str, str],
) -> Watched:
    """Runs a Python command until it ends or has come far enough.

    The peak is the kernel's count for the process (VmHWM), read until the end. The count that a parent gets of its
    ended children begins with the parent's size where the child is made by vfork.

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
                time.sleep(POLL)
        if seconds is None or process.returncode not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            log.seek(0)
            last = (log.read().strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"{name} ended with code {process.returncode}: {last}")
    return Watched(seconds, peak)


@contextlib.contextmanager
def _ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Ends a process on the way out, if it has not ended by itself."""
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
