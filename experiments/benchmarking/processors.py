"""The CPUs of a process: which it has, how busy they are, and how to confine others to some of them."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def confined(threads: int) -> Iterator[None]:
    """Makes processes started within use so many threads, by CPU affinity where the system has it.

    XLA makes as many threads as it finds CPUs, or as the variable NPROC says, which works everywhere.
    """
    kept, nproc = cpus(), os.environ.get("NPROC")
    os.environ["NPROC"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, kept[:threads])
    try:
        yield
    finally:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, kept)
        os.environ.pop("NPROC") if nproc is None else os.environ.update(NPROC=nproc)


def cpus() -> list[int]:
    """Lists the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def busy_seconds() -> float | None:
    """Reads how long the CPUs of this process have been busy, for anyone, since the system started; Linux tells."""
    mine = {f"cpu{n}" for n in cpus()}
    try:
        rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        ticks = sum(
            int(row[i]) for row in rows if row[0] in mine for i in (1, 2, 3, 6, 7, 8)
        )  # neither idle nor waiting
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def cpu_model() -> str:
    """Names the processor as its maker does, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
