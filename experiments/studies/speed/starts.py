"""How long a command takes to its first training step, and how much memory it needs."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.speed.processes import Watched, watch
from studies.speed.programs import COMPILED, EAGER, JAXGAN, NNX

EXPERIMENTS = Path(__file__).resolve().parents[2]
MEMORY_STEPS = 50  # steps after which the peak is read
SCRIPTS = {  # of a program, with the flags that only it takes
    JAXGAN: ("{method}.py", []),
    EAGER: ("imperative/{method}.py", []),
    COMPILED: ("imperative/{method}.py", ["--compile"]),
    NNX: ("imperative/nnx_{method}.py", []),
}

Starts = dict[str, dict[str, list[Any]]]


def measure(programs: Mapping[str, Sequence[str]], *, repeats: int, threads: int, data_dir: Path | None) -> Starts:
    """Starts the script of every method and program, each time in a fresh process and folder.

    Args:
      programs: the programs of each method; those without a script are left out.
      repeats: cold and warm starts of each.
      threads: how many each process has.
      data_dir: folder of prepared data sets.

    Returns:
      By method and program: ``cold`` and ``warm``, the seconds to the first step with an empty cache of compiled
      programs and with that of the run before, and ``peak_bytes`` of the cold starts.
    """
    found: Starts = {}
    for method, names in programs.items():
        found[method] = {}
        for program in (name for name in SCRIPTS if name in names):
            seen: dict[str, list[Any]] = {"cold": [], "warm": [], "peak_bytes": []}
            for _ in range(repeats):
                with tempfile.TemporaryDirectory() as cache:
                    cold, warm = (
                        first_step(method, program, cache=Path(cache), threads=threads, data_dir=data_dir)
                        for _ in range(2)
                    )
                for kind, value in zip(seen, (cold.seconds, warm.seconds, cold.peak_bytes), strict=True):
                    seen[kind].append(value)
            found[method][program] = seen
    return found


def first_step(method: str, program: str, *, cache: Path, threads: int, data_dir: Path | None) -> Watched:
    """Runs a script from its start to its fiftieth step.

    The sign of the first step is the file that the script writes after it: a row of metrics, or a checkpoint.

    Args:
      method: the recipe.
      program: one of `SCRIPTS`.
      cache: the folder of compiled programs.
      threads: how many the process has.
      data_dir: folder of prepared data sets.

    Returns:
      What was seen.
    """
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "torch"),
    }
    script, flags = SCRIPTS[program]
    flags = [*flags, *(["--data-dir", str(data_dir)] if data_dir else [])]
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder, "run")
        command = [str(EXPERIMENTS / script.format(method=method)), "--workdir", str(workdir), *flags]
        if program == JAXGAN:
            metrics = workdir / "metrics.jsonl"
            return watch(
                [*command, "--epochs", "1", "--log-every", "1"],
                started=lambda: _rows(metrics) >= 1,
                finished=lambda: _rows(metrics) >= MEMORY_STEPS,
                threads=threads,
                environment=environment,
            )
        saved = "checkpoints/[0-9]*" if program == NNX else "checkpoint.pt"
        return watch(
            [*command, "--steps", str(MEMORY_STEPS), "--checkpoint-every", "1"],
            started=lambda: any(path.name.isdigit() or path.is_file() for path in workdir.glob(saved)),
            threads=threads,
            environment=environment,
        )


def _rows(metrics: Path) -> int:
    return metrics.read_text().count("\n") if metrics.exists() else 0
