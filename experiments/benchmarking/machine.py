"""What numbers hold for: the machine, the date, versions and the command."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Sequence

from benchmarking.processors import cpu_model, cpus


def about(*, threads: Sequence[int], repeats: int, seconds: float) -> dict[str, str]:
    """Describes what the numbers hold for: machine, date, versions and the exact command."""
    versions = [f"Python {platform.python_version()}"]
    for name in ("jax", "jaxlib", "flax", "optax", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    pinned = "CPU affinity" if hasattr(os, "sched_setaffinity") else "NPROC only, this system has no CPU affinity"
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{cpu_model()}, {len(cpus())} CPUs, {platform.system()}",
        "versions": ", ".join(versions),
        "threads": f"{', '.join(map(str, threads))}; set by {pinned}",
        "turns": f"{repeats} of {seconds:g} s for each competitor",
    }
