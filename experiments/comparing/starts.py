"""How long a command takes to its first training step, and how much memory it needs."""

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from comparing.designs import FUNCTIONAL, NNX, PYTORCH, designs_of, script
from comparing.options import Options
from comparing.processes import Watched, watch

MEMORY_STEPS = 50  # steps after which the peak is read
COMPILED = f"{PYTORCH}, torch.compile"


def measure(options: Options, *, compiled: Collection[str]) -> dict[str, dict[str, dict[str, list[Any]]]]:
    """Starts the scripts of every method and design, each time in a fresh process and folder.

    Args:
      options: which methods, how often, and on how many threads.
      compiled: methods that are started with ``torch.compile`` as well.

    Returns:
      By method and design: ``cold`` and ``warm`` (seconds until the first step, with an empty cache of compiled
      programs and with that of the run before) and ``peak_bytes`` (of the cold starts; None if unknown).
    """
    found: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for method in options.methods if options.starts else ():
        found[method] = {}
        for design in (*designs_of(method), *((COMPILED,) if method in compiled else ())):
            kinds: dict[str, list[Any]] = {"cold": [], "warm": [], "peak_bytes": []}
            for _ in range(options.starts):
                with tempfile.TemporaryDirectory() as cache:
                    cold, warm = (first_step(method, design, cache=Path(cache), options=options) for _ in range(2))
                for kind, value in zip(kinds, (cold.seconds, warm.seconds, cold.peak_bytes), strict=True):
                    kinds[kind].append(value)
            found[method][design] = kinds
    return found


def first_step(method: str, design: str, *, cache: Path, options: Options) -> Watched:
    """Runs a script from being typed to its fiftieth step.

    The sign of the first step is what the script writes after it: a row of metrics, or a checkpoint.

    Args:
      method: what trains.
      design: how; one of `designs.DESIGNS`, or PyTorch with ``torch.compile``.
      cache: the folder of compiled programs.
      options: where the data lie, and how many threads there are.

    Returns:
      What was seen.
    """
    flags = ["--data-dir", str(options.data_dir)] if options.data_dir else []
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "torch"),
    }
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder, "run")
        command = [str(script(PYTORCH if design == COMPILED else design, method)), "--workdir", str(workdir), *flags]
        metrics = workdir / "metrics.jsonl"
        if design == FUNCTIONAL:
            return watch(
                [*command, "--epochs", "1", "--log-every", "1"],
                started=lambda: _rows(metrics) >= 1,
                finished=lambda: _rows(metrics) >= MEMORY_STEPS,
                threads=options.threads,
                environment=environment,
            )
        compiled = ["--compile"] if design == COMPILED else []
        saved = {NNX: "checkpoints/[0-9]*"}.get(design, "checkpoint.pt")
        return watch(
            [*command, "--steps", str(MEMORY_STEPS), "--checkpoint-every", "1", *compiled],
            started=lambda: any(path.name.isdigit() or path.is_file() for path in workdir.glob(saved)),
            threads=options.threads,
            environment=environment,
        )


def _rows(metrics: Path) -> int:
    return metrics.read_text().count("\n") if metrics.exists() else 0
