"""A table of the runs in a folder: method, data, progress and last metrics of each."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.markup import escape
from rich.table import Column, Table

from jaxgan.errors import UserError
from jaxgan.runs.checkpoints import latest_step
from jaxgan.runs.tracking import Row, read_rows
from jaxgan.runs.workdir import COORDINATES, Workdir, load_config

HEADLINES = ("frechet_distance", "test_negative_elbo", "generator_loss")  # metrics to show before all others


class Overview(NamedTuple):
    """One run, described by its files without loading a checkpoint."""

    folder: Path
    method: str  # title, such as DCGAN; empty if the config cannot be read
    data: str  # name of the data set
    epoch: float  # epoch of the last row of metrics
    epochs: int  # epochs to train
    step: int | None  # newest checkpoint, from which the run resumes; None without any
    metrics: dict[str, float]  # last row
    size: int  # bytes on disk
    fault: str = ""  # why it cannot be read; empty if it can

    @property
    def state(self) -> str:
        """Whether the run is finished, can resume, has no checkpoint to resume from, or is damaged."""
        if self.fault:
            return "damaged"
        if self.step is None:
            return "nothing saved"
        return "finished" if self.epoch >= self.epochs else f"resumes from step {self.step}"


def find_runs(root: Path) -> list[Overview]:
    """Finds the runs in a folder and its subfolders, ordered by path; the folder may itself be a run.

    Raises:
      UserError: if there is no such folder.
    """
    if not root.is_dir():
        raise UserError(f"FOLDER: {str(root)!r} is not a folder, give one that holds runs")
    return [_overview(Workdir(folder)) for folder in sorted(_folders(root))]


def _folders(root: Path) -> Iterator[Path]:
    for folder, inside, files in os.walk(root):
        if "config.json" in files:
            yield Path(folder)
            inside.clear()  # a run holds no runs
        inside[:] = [name for name in inside if not name.startswith(".")]


def _overview(workdir: Workdir) -> Overview:
    size = _size(workdir.root)
    try:
        config = load_config(workdir)
        rows = read_rows(workdir.metrics)
    except UserError as error:
        return Overview(workdir.root, "", "", 0.0, 0, None, {}, size, str(error))
    assert config is not None
    last = dict(rows[-1]) if rows else {}
    step, run = latest_step(workdir.checkpoints), config.run
    return Overview(workdir.root, config.method.title, run.data, last.get("epoch", 0.0), run.epochs, step, last, size)


def _size(root: Path) -> int:
    """Sums the sizes of all files below a folder, except those that a running training deletes meanwhile."""
    size = 0
    for folder, _, files in os.walk(root):
        for name in files:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(folder, name)).st_size
    return size


def headline(row: Row) -> str | None:
    """The metric of a row to show: a known one, else the first on held-out images, else the first; None if none."""
    names = [name for name in row if name not in COORDINATES]
    held_out = [name for name in names if name.startswith("test_")]
    return next((name for name in (*HEADLINES, *held_out, *names) if name in row), None)


def table(runs: list[Overview], *, root: Path) -> Table:
    """Makes a table of runs, with paths relative to a folder."""
    numbers = [Column(name, justify="right") for name in ("epoch", "size")]
    made = Table(Column("run", overflow="fold"), "method", "data", *numbers, "last metric", "state", box=box.SIMPLE)
    for run in runs:
        metric = headline(run.metrics)
        made.add_row(
            escape(os.path.relpath(run.folder, root)),
            run.method,
            escape(Path(run.data).name),
            f"{run.epoch:.4g}/{run.epochs}",
            f"{run.size / 1e6:.1f} MB",
            f"{metric} {run.metrics[metric]:.4g}" if metric else "",
            run.state,
        )
    return made
