"""Describes the conditions of a measurement: processor, number of CPUs, versions, date and command."""

import contextlib
import datetime
import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("jax", "jaxlib", "flax", "optax", "torch")


def describe(*packages: str) -> str:
    """Describes this machine and its software in one line.

    Args:
      *packages: packages to list if they are installed; none: `PACKAGES`.

    Returns:
      For example "AMD EPYC 7B13, 2 CPUs, Linux; Python 3.11.15, jax 0.10.2; 2026-11-26 20:40 UTC".
    """
    return f"{processor()}, {len(cpus())} CPUs, {platform.system()}; {versions(*packages)}; {now()}"


def versions(*packages: str) -> str:
    """Lists the versions of Python and of packages; see `describe`."""
    found = [f"Python {platform.python_version()}"]
    for name in packages or PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def now() -> str:
    """Returns date and time in UTC."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def command() -> str:
    """Returns the command line of this process."""
    return shlex.join(["python", *sys.argv])


def cpus() -> list[int]:
    """Lists the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def processor() -> str:
    """Returns the model name of the processor, if known."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
