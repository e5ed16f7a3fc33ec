"""Timing a command from being typed to its first training step."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

START_TIMEOUT = 120.0


def first_step_seconds(script: Path, *, cache: Path, flags: Sequence[str]) -> float:
    """Measures how long a command takes from being typed to its first training step, in a process and folder apart.

    Args:
      script: an experiment.
      cache: the folder of the compilation cache; empty for a cold start.
      flags: further flags: where the data lie, and the platform.

    Returns:
      Seconds until the first row of metrics.
    """
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # as `enable_compilation_cache` has it
    }
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder, "run", "metrics.jsonl")
        command = [sys.executable, str(script), "--epochs", "1", "--log-every", "1", "--workdir", str(metrics.parent)]
        log = Path(folder, "log")
        with log.open("w") as output:
            start = time.monotonic()
            process = subprocess.Popen([*command, *flags], env=environment, stdout=output, stderr=subprocess.STDOUT)
            try:
                while not (metrics.exists() and metrics.stat().st_size):
                    if process.poll() is not None or time.monotonic() - start > START_TIMEOUT:
                        raise RuntimeError(f"{script.name} did not get to its first step: {log.read_text()[-500:]}")
                    time.sleep(0.01)
                return time.monotonic() - start
            finally:
                process.send_signal(signal.SIGTERM)  # saves and ends
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def start_times(script: Path, *, repeats: int, flags: Sequence[str]) -> dict[str, list[float]]:
    """Measures cold and warm starts in turns, each pair with a compilation cache of its own.

    Args:
      script: an experiment.
      repeats: how many pairs.
      flags: further flags: where the data lie, and the platform.

    Returns:
      Seconds to the first step, cold and warm.
    """
    times = {"cold": [], "warm": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            for taken in times.values():
                taken.append(first_step_seconds(script, cache=Path(cache), flags=flags))
    return times
