"""Time from the start of a script to its first training step, with a cold and a warm compilation cache."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from studies.speed.programs import EAGER, JAXGAN

EXPERIMENTS = Path(__file__).resolve().parents[2]
TIMEOUT = 300.0  # seconds
SCRIPTS = {  # path, flags, and the file that the script writes after its first step
    JAXGAN: ("{}.py", ["--epochs", "1", "--log-every", "1"], "metrics.jsonl"),
    EAGER: ("imperative/{}.py", ["--steps", "1"], "checkpoint.pt"),
}

Starts = dict[str, dict[str, list[float]]]  # seconds of each start, by program and kind: cold or warm


def measure(method: str, repeats: int, data_dir: Path | None) -> Starts:
    """Starts the scripts of a method repeatedly, in new working directories, first with an empty cache.

    PyTorch's script has no compilation cache. Its second start shows the effect of the file-system cache.
    """
    found: Starts = {program: {"cold": [], "warm": []} for program in SCRIPTS if path(method, program).exists()}
    for _ in range(repeats):
        for program, seconds in found.items():
            with tempfile.TemporaryDirectory() as cache:
                for kind in seconds:
                    seconds[kind].append(first_step(method, program, cache=cache, data_dir=data_dir))
    return found


def path(method: str, program: str) -> Path:
    """Returns the script of a method and program."""
    return EXPERIMENTS / SCRIPTS[program][0].format(method)


def first_step(method: str, program: str, *, cache: str, data_dir: Path | None) -> float:
    """Runs a script until it writes the file of its first step, and returns the seconds.

    Raises:
      RuntimeError: if the script fails or takes too long.
    """
    script, (_, flags, sign) = path(method, program), SCRIPTS[program]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        written = Path(folder, "run", sign)
        command: Sequence[str] = [sys.executable, str(script), "--workdir", str(written.parent), *flags]
        command += ["--data-dir", str(data_dir)] if data_dir else []
        cached = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        start = time.monotonic()
        process = subprocess.Popen(command, env=os.environ | cached, stdout=log, stderr=log)
        try:
            while not (written.exists() and written.stat().st_size):
                if process.poll() or time.monotonic() - start > TIMEOUT:
                    log.seek(0)
                    raise RuntimeError(f"{script.name} took no step: {log.read().strip()[-500:]}")
                time.sleep(0.01)
            return time.monotonic() - start
        finally:
            process.terminate()
            process.wait()
