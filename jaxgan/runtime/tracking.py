"""What a run writes down as it goes: rows of metrics, TensorBoard events, samples and, at the end, pictures."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxgan.errors import UserError
from jaxgan.runtime.workdir import Workdir, write_atomically

Row = Mapping[str, Any]


class Tracker(NamedTuple):
    """An open run: its folder and its TensorBoard writer."""

    workdir: Workdir
    events: Any


@contextmanager
def tracker(workdir: Workdir, *, step: int) -> Iterator[Tracker]:
    """Opens the logs of a run that stands at a step, and forgets what an earlier attempt wrote beyond it.

    Args:
      workdir: the run's folder.
      step: the step that the run starts or goes on from.

    Yields:
      What :func:`log` writes to.
    """
    from tensorboardX import SummaryWriter  # imports torch where that is installed, which takes seconds

    if rows := read_rows(workdir):
        write_atomically(workdir.metrics, "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step))
    with SummaryWriter(str(workdir.tensorboard), purge_step=step + 1 if step else None) as events:
        yield Tracker(workdir, events)


def log(out: Tracker, row: Row, *, steps_per_second: float) -> None:
    """Writes a row of metrics; the speed goes to TensorBoard alone, so that the rows are a function of the config.

    Args:
      out: the open run.
      row: ``step``, ``epoch`` and the means of the metrics since the row before.
      steps_per_second: how fast the run is going.
    """
    with out.workdir.metrics.open("a") as file:
        file.write(json.dumps(row) + "\n")
    for name, value in {**row, "steps_per_second": steps_per_second}.items():
        if name != "step":
            out.events.add_scalar(name, value, row["step"])


def read_rows(workdir: Workdir) -> list[Row]:
    """Reads the rows of metrics of a run; a last line that a crash cut short is left out."""
    if not workdir.metrics.exists():
        return []
    lines = workdir.metrics.read_text().splitlines(keepends=True)
    try:
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
        return sorted(rows, key=lambda row: row["step"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"--workdir: {str(workdir.metrics)!r} is damaged ({error!r}); delete it to go on") from error


def save_samples(workdir: Workdir, images: UInt8[np.ndarray, "count height width channels"], *, epoch: int) -> None:
    """Keeps what the generator draws from the fixed latents after an epoch."""
    workdir.samples.mkdir(exist_ok=True)
    np.save(workdir.samples / f"epoch_{epoch:04d}.npy", images)


def draw(workdir: Workdir, *, title: str) -> list[Path]:
    """Draws every picture of a run from its metrics and samples.

    Args:
      workdir: the run's folder.
      title: what to call the run in the pictures.

    Returns:
      The files written.

    Raises:
      UserError: if a file of samples is damaged.
    """
    from jaxgan import figures  # matplotlib takes a second, and training need not wait for it

    workdir.figures.mkdir(exist_ok=True)
    pictures = {"training": figures.training_curves(read_rows(workdir), title=title)}
    if samples := _read_samples(workdir):
        rows = {f"epoch {epoch}": images[:10] for epoch, images in samples.items()}
        pictures["progress"] = figures.sample_rows(rows, title=f"{title}: the same latents through training")
        last = max(samples)
        pictures["samples"] = figures.sample_grid(samples[last], title=f"{title}: samples after epoch {last}")
    return [figures.save(picture, workdir.figures / f"{name}.png") for name, picture in pictures.items()]


def _read_samples(workdir: Workdir) -> dict[int, UInt8[np.ndarray, "count height width channels"]]:
    samples = {}
    for path in sorted(workdir.samples.glob("epoch_[0-9]*.npy")):
        try:
            samples[int(path.stem.removeprefix("epoch_"))] = np.load(path)
        except (ValueError, EOFError) as error:
            raise UserError(f"--workdir: {str(path)!r} is damaged ({error}); delete it") from error
    return samples
