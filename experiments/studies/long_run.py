"""Trains for many steps with a checkpoint every thousand, and monitors memory, open files and the log.

Run:       python experiments/studies/long_run.py                  (--help lists every flag)
Time:      8 min on one CPU core
Expect:    memory and open files that become constant, and a row of metrics for each checkpoint
Writes:    runs/long_run/ (or --out) with long_run.md
Read:      jaxgan/runs/train.py, jaxgan/runs/checkpoints.py

Memory grows at first: Orbax saves in many threads, and glibc caches freed memory per thread.
TensorStore 0.1.86 leaks the strings of specifications that it passes to Python: about 30 kB per checkpoint.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # experiments/

from studies import machine, markdown, training

from jaxgan.errors import UserError
from jaxgan.fields import number
from jaxgan.runs import tracking
from jaxgan.runs.workdir import Workdir

RECIPE = Path(__file__).resolve().parents[1] / "vanilla_gan.py"
BATCH = 60  # a thousand steps per epoch of MNIST
EPOCH = 60_000 // BATCH
QUARTERS = 4  # of the run; memory should be constant in the last


@dataclass(frozen=True)
class Options:
    """Trains for many steps, and monitors memory and open files of the process."""

    steps: int = number(200_000, low=2 * EPOCH)  # training steps, a multiple of 1,000
    out: Path = Path("runs/long_run")  # folder for the report


class Look(NamedTuple):
    """Memory and open files of the process at one time."""

    step: int
    megabytes: float  # resident memory
    files: int  # number of open files


def study(options: Options) -> Path:
    """Trains, and writes the report."""
    if options.steps % EPOCH:
        raise UserError(f"--steps: {options.steps} is not allowed, it must be a multiple of {EPOCH}")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        looks, rows = watched(options.steps, Workdir(Path(name) / "run"))
    path = options.out / "long_run.md"
    path.write_text(report(options.steps, looks, rows))
    return path


def watched(steps: int, folder: Workdir) -> tuple[list[Look], list[tracking.Row]]:
    """Trains the vanilla GAN with a checkpoint every epoch; inspects the process every second (Linux)."""
    flags = ("--batch-size", BATCH, "--epochs", steps // EPOCH, "--checkpoint-every", 1, "--workdir", folder.root)
    looks = []
    with (folder.root.parent / "log.txt").open("w") as log:
        process = subprocess.Popen([sys.executable, RECIPE, *map(str, flags)], stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(1)
            if folder.metrics.exists() and (rows := tracking.read_rows(folder.metrics)):
                looks += look(process.pid, rows[-1]["step"])
    if process.returncode:
        raise RuntimeError((folder.root.parent / "log.txt").read_text()[-2000:])
    return looks, tracking.read_rows(folder.metrics)


def look(pid: int, step: int) -> list[Look]:
    """Inspects a process; returns nothing if it has ended."""
    try:
        status = (Path("/proc") / str(pid) / "status").read_text()
        files = sum(1 for _ in (Path("/proc") / str(pid) / "fd").iterdir())
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return []
    return [Look(step, kilobytes / 1024, files)]


def slope(looks: Sequence[Look]) -> float:
    """Fits the growth of memory by least squares, in megabytes per 10,000 steps."""
    steps, megabytes = np.array([(seen.step, seen.megabytes) for seen in looks], float).T
    return float(np.polyfit(steps / 1e4, megabytes, 1)[0])


def growth(looks: Sequence[Look], steps: int) -> Iterator[str]:
    """Formats the growth in each quarter of a run; "none" for a quarter with only one row of metrics."""
    for part in range(QUARTERS):
        inside = [seen for seen in looks if part * steps <= QUARTERS * seen.step < (part + 1) * steps]
        yield f"{slope(inside):+.2f}" if len({seen.step for seen in inside}) > 1 else "none"


def report(steps: int, looks: Sequence[Look], rows: Sequence[tracking.Row]) -> str:
    """Formats the measurements as Markdown."""
    settled = [look for look in looks if steps / QUARTERS <= look.step < steps]
    memory, files = ([getattr(look, name) for look in settled] for name in ("megabytes", "files"))
    complete = [row["step"] for row in rows] == list(range(EPOCH, steps + 1, EPOCH))
    measured = [
        ("steps", f"{steps:,}"),
        ("checkpoints", steps // EPOCH),
        ("rows of metrics", f"{len(rows)}, {'complete and in order' if complete else 'NOT complete'}"),
        ("resident memory after the first quarter", f"{min(memory):.0f} to {max(memory):.0f} MB"),
        ("growth per 10,000 steps, by quarter", f"{', '.join(growth(looks, steps))} MB"),
        ("open files", f"{min(files)} to {max(files)}"),
    ]
    return markdown.document(
        "# A long run",
        f"The vanilla GAN with batch size {BATCH} and a checkpoint every {EPOCH:,} steps.",
        markdown.table(("quantity", "value"), measured),
        machine.describe("jax", "orbax-checkpoint"),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study as a command."""
    training.command("long_run", Options, study, argv)


if __name__ == "__main__":
    main()
