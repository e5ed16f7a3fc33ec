"""Which lines a program runs: a script is run twice, the second time to go on from its checkpoint, and watched.

Run:       python experiments/comparing/tracing.py FOUND.json SCRIPT FLAG...
Writes:    FOUND.json, for each of the project's files the lines that ran and the classes that were instantiated

Images are random and few, so that an epoch is eight steps. What runs while a module or a class is defined is not
recorded, except in the script itself: everything that is imported would count.
"""

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
BATCH, STEPS = 8, 8


class Found(NamedTuple):
    """What a run used, by file, relative to the project."""

    lines: dict[str, set[int]]
    classes: dict[str, set[str]]  # qualified names


def watch(program: Callable[[], object], *, script: Path, root: Path = ROOT) -> Found:
    """Runs a program and records what it uses of the project.

    Args:
      program: what to run.
      script: the file whose module runs in it, as ``__main__``.
      root: the project's folder; other files are not recorded.

    Returns:
      The lines that ran, and the classes of which an object was made.
    """
    lines, classes, prefix = defaultdict(set), defaultdict(set), f"{root}/"

    def on_line(frame: FrameType, event: str, _: Any) -> Callable:
        if event == "line":
            lines[frame.f_code.co_filename.removeprefix(prefix)].add(frame.f_lineno)
        return on_line

    def on_call(frame: FrameType, event: str, _: Any) -> Callable | None:
        code = frame.f_code
        # A dataclass writes its __init__ and a named tuple its __new__, a lambda of _cls, outside of any file.
        if code.co_varnames and (code.co_name in ("__init__", "__new__") or code.co_varnames[0] == "_cls"):
            made = frame.f_locals.get(code.co_varnames[0])
            made = made if isinstance(made, type) else type(made)
            file = getattr(sys.modules.get(made.__module__), "__file__", None) or ""
            if file.startswith(prefix):
                classes[file.removeprefix(prefix)].add(made.__qualname__)
        is_function = code.co_flags & inspect.CO_OPTIMIZED
        is_script = code.co_name == "<module>" and code.co_filename == str(script)
        return on_line if code.co_filename.startswith(prefix) and (is_function or is_script) else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        program()
    finally:
        sys.settrace(before)
    return Found(dict(lines), dict(classes))


def trace(script: Path, flags: Sequence[str] = ()) -> Found:
    """Traces a training script in a process of its own, on one device.

    Args:
      script: the recipe or the twin.
      flags: flags besides folder, epochs and batch size.

    Returns:
      What it used.

    Raises:
      RuntimeError: if the script failed, with what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "found.json")
        command = [sys.executable, str(Path(__file__)), str(out), str(script), "--workdir", f"{folder}/run", *flags]
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": folder}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode:
            raise RuntimeError(f"{script.name} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        found = json.loads(out.read_text())
    return Found(*({file: set(used) for file, used in part.items()} for part in found))


def main(out: Path, script: Path, flags: Sequence[str]) -> None:
    """Runs a script for one epoch, and again for a second one, on random images."""
    import runpy

    import numpy as np

    from jaxgan import data

    def load(name: str, *, split: str = "train", data_dir: Path | None = None) -> data.Dataset:
        images = np.random.default_rng(0).integers(0, 256, (BATCH * STEPS, 28, 28, 1), dtype=np.uint8)
        return data.Dataset(name, images, np.arange(len(images), dtype=np.int32) % 10, tuple("0123456789"))

    def program() -> None:
        for epochs in (1, 2):
            sys.argv = [str(script), "--batch-size", str(BATCH), "--epochs", str(epochs), *flags]
            runpy.run_path(str(script), run_name="__main__")

    data.load = load
    found = watch(program, script=script)
    out.write_text(json.dumps([{file: sorted(used) for file, used in part.items()} for part in found]))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
