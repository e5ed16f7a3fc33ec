"""Tracks a run: rows of metrics, TensorBoard events, samples, a profiler trace and, at the end, figures."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import math
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, UInt8

from jaxgan.config import FREE_FIELDS, Config, replica_configs
from jaxgan.data import arrays
from jaxgan.errors import UserError
from jaxgan.methods.method import Plane, Rows, Sheet, Visualization
from jaxgan.runs.logs import Events, Lines
from jaxgan.runs.workdir import Workdir, write_atomically
from jaxgan.runtime.program import to_bytes
from jaxgan.tiles import tile, to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
Images = UInt8[np.ndarray, "count height width channels"]

ROWS, COLUMNS = 20, 10  # of sample figures: at most this many replicas, and images per row

_log = logging.getLogger(__name__)


class Tracker(NamedTuple):
    """The open logs of a run, and the clock of its training."""

    metrics: Lines
    timings: Lines
    events: Sequence[Events]  # one per replica, or one for a single run
    clock: Callable[[], float]  # seconds of training so far, including earlier attempts
    set_aside: Callable[[float], None]  # subtracts seconds that were not training from the clock


@contextmanager
def tracker(workdir: Workdir, *, step: int, replicas: Sequence[int | None] = (None,)) -> Iterator[Tracker]:
    """Opens the logs of a run at a step, and drops rows that an earlier attempt wrote beyond it.

    Args:
      workdir: the working directory of the run.
      step: the step from which the run starts or resumes.
      replicas: the replica numbers, each of which has its own TensorBoard curves; (None,) for a single run.

    Yields:
      The tracker that :func:`log` writes to.
    """
    for path in (workdir.metrics, workdir.timings):
        if rows := read_rows(path):
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step))
    spent = max((row.get("seconds", 0.0) for row in read_rows(workdir.timings)), default=0.0)
    began, aside = time.perf_counter(), [-spent]
    metrics, timings = Lines(workdir.metrics), Lines(workdir.timings)
    events = [Events(of_replica(workdir.tensorboard, replica), step=step) for replica in replicas]
    try:
        yield Tracker(metrics, timings, events, lambda: time.perf_counter() - began - sum(aside), aside.append)
    finally:
        for log_file in (metrics, timings, *events):
            log_file.close()


def of_replica(folder: Path, replica: int | None) -> Path:
    """Returns the subfolder of a replica; for a single run, None, the folder."""
    return folder if replica is None else folder / f"replica_{replica}"


def log(out: Tracker, row: Row, *, steps_per_second: float, shares: Mapping[str, float]) -> None:
    """Writes a row of metrics; times go to another file, so that the rows are a function of the config.

    If a log cannot be written, it warns once, and training continues.

    Args:
      out: the open logs.
      row: ``step``, ``epoch``, the ``replica`` if there are several, and mean metrics since the previous row.
      steps_per_second: the speed of the run.
      shares: shares of the time of this attempt, by kind of work.
    """
    out.metrics.append(row)
    if not (replica := row.get("replica", 0)):  # replicas train together, so one row of times is enough
        out.timings.append({"step": row["step"], "epoch": row["epoch"], "seconds": out.clock(), "shares": shares})
    numbers = {**row, "steps_per_second": steps_per_second} | {f"time/{work}": x for work, x in shares.items()}
    shown = {name: number for name, number in numbers.items() if name not in ("step", "replica")}
    out.events[replica].add(shown, step=row["step"])


def read_rows(path: Path) -> list[Row]:
    """Reads a run's rows of metrics or of timings; drops a last line that a crash truncated."""
    if not path.is_file():  # reading a device, such as /dev/full, would never end
        return []
    try:
        lines = path.read_text().splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise UserError(f"--workdir: {str(path)!r} is damaged ({error.reason}); move it away to resume") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            continue
        try:
            row = json.loads(line)
            if wrong := [name for name, x in row.items() if name != "shares" and not isinstance(x, int | float)]:
                raise ValueError(f"{wrong[0]} is {row[wrong[0]]!r}")
            rows.append((row["step"], row["epoch"], row))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            damage = f"line {number} is damaged ({error!r}); repair it, or move the file away to resume"
            raise UserError(f"--workdir: {str(path)!r}: {damage}") from error
    return [row for _, _, row in sorted(rows, key=lambda found: found[0])]


def log_samples(out: Tracker, images: Images, *, step: int, replica: int = 0) -> None:
    """Logs a grid of the first samples of the fixed latents to TensorBoard, at most eight rows of eight."""
    side = min(8, math.isqrt(len(images)))
    sheet = tile(images[: side**2], columns=side, gap=0)
    out.events[replica].add_images({"samples": to_png(sheet)}, step=step)


def log_result(workdir: Workdir, config: Config, *, shown: Sequence[Path]) -> None:
    """Logs the result of a run to TensorBoard: figures, and its fields as hyperparameters beside the last metrics.

    ``shown`` are files of figures, of the first replica if there are several.
    """
    rows, several = read_rows(workdir.metrics), config.run.several
    for number, member in enumerate(replica_configs(config)):
        logged = [row for row in rows if row.get("replica", 0) == number]
        if not logged:
            continue
        free = FREE_FIELDS - {"epochs"} | {"sweep"}
        chosen = {name: value for name, value in vars(member.run).items() if name not in free}
        columns = dict.fromkeys(itertools.chain(*logged))
        names = [name for name in columns if name not in ("step", "replica", "diverged")]
        events = Events(of_replica(workdir.tensorboard, number if several else None), step=0)
        events.add_hyperparameters({"method": config.kind} | vars(member.method) | chosen, metrics=names)
        if shown:
            events.add_images({path.stem: path.read_bytes() for path in shown}, step=logged[-1]["step"])
            shown = []
        events.close()


def save_samples(workdir: Workdir, images: Images, *, epoch: int, replica: int | None = None) -> None:
    """Saves the samples of the fixed latents after an epoch; if it cannot, it warns, and training continues."""
    folder, content = of_replica(workdir.samples, replica), io.BytesIO()
    path = folder / f"epoch_{epoch:04d}.npy"
    np.save(content, images)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
    except OSError as error:
        _log.warning("%s: cannot be written (%s); training continues", path, error.strerror or error)


def draw(
    workdir: Workdir, *, title: str, visualizations: Mapping[str, Visualization] = types.MappingProxyType({})
) -> list[Path]:
    """Draws every figure of a run, from its metrics, its samples and its method's visualizations; returns the paths.

    Raises:
      UserError: if a file of samples is damaged.
    """
    from jaxgan import figures  # importing matplotlib takes a second, for which training need not wait

    workdir.figures.mkdir(exist_ok=True)
    metrics, title = read_rows(workdir.metrics), figures.legend(title)
    going = going_replicas(metrics)
    curves_title = f"{title}: mean and range of the replicas" if going else title
    pictures = {"training": figures.training_curves(metrics, title=curves_title)}
    if going:
        saved = {replica: read_samples(workdir, replica) for replica in going[:ROWS]}
        rows = {f"replica {r}": by_epoch[max(by_epoch)][:COLUMNS] for r, by_epoch in saved.items() if by_epoch}
        if rows:
            pictures["replicas"] = figures.sample_rows(rows, title=f"{title}: samples of each replica")
    first = going[0] if going else None
    title += "" if first is None else f", replica {first}"
    if samples := read_samples(workdir, first):
        rows = {f"epoch {epoch}": images[:COLUMNS] for epoch, images in samples.items()}
        pictures["progress"] = figures.progress(metrics, rows, title=f"{title}: the same latents through training")
        last = max(samples)
        pictures["samples"] = figures.sample_grid(samples[last], title=f"{title}: samples after epoch {last}")
    pictures |= {name: _figure(visualization) for name, visualization in visualizations.items()}
    return [figures.save(picture, workdir.figures / f"{name}.png") for name, picture in pictures.items()]


def going_replicas(rows: Sequence[Row]) -> list[int]:
    """Returns the replicas that have not diverged by their last row of metrics; empty for a single run."""
    last = {row["replica"]: row for row in rows if "replica" in row}
    return [replica for replica, row in last.items() if "diverged" not in row]


def _figure(visualization: Visualization) -> Figure:
    from jaxgan import figures

    match visualization:
        case Rows(title, rows):
            return figures.sample_rows({label: _bytes(images) for label, images in rows.items()}, title=title)
        case Sheet(title, images, columns):
            return figures.sample_grid(_bytes(images), columns=columns, title=title)
        case Plane(title, points, labels):
            return figures.latent_plane(np.asarray(points), np.asarray(labels), title=title)


def _bytes(images: Array) -> Images:
    return np.asarray(to_bytes(images))


def read_samples(workdir: Workdir, replica: int | None = None) -> dict[int, Images]:
    """Reads the samples of fixed latents of a run or of one of its replicas, by epoch."""
    samples, shape = {}, None
    for path in sorted(of_replica(workdir.samples, replica).glob("epoch_*.npy")):
        if not (epoch := path.stem.removeprefix("epoch_")).isdecimal():
            continue
        images = samples[int(epoch)] = arrays.read(path, flag="--workdir", usual=("images",))["images"]
        shape = images.shape if shape is None else shape
        if images.dtype != np.uint8 or images.ndim != 4 or not images.size or images.shape != shape:
            found = f"{images.dtype} of shape {images.shape}, others are uint8 of shape {shape}"
            raise UserError(f"--workdir: {str(path)!r} is damaged (it holds {found}); move it away")
    return samples


Recorded = Callable[[int, int], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def profiler(folder: Path, steps: range, *, step: int) -> Iterator[Recorded]:
    """Traces some steps of a run, and writes the trace when they are done or the run fails.

    Args:
      folder: where the trace goes, beside those of earlier attempts.
      steps: the steps to trace; none if empty. A run that resumes within them traces the rest.
      step: the step from which the run starts or resumes.

    Yields:
      A function from the first step of a call, and the step it stops before, to the context for the call. In the trace
      each call is named after its first step. Calls must start and stop where ``steps`` do.
    """
    if steps and step >= steps.stop:
        _log.warning("--profile: nothing is traced, the run is already at step %d", step)
    traced, trace = False, contextlib.ExitStack()

    @contextlib.contextmanager
    def recorded(start: int, stop: int) -> Iterator[None]:
        nonlocal traced
        if start not in steps:
            yield
            return
        if not traced:
            trace.enter_context(jax.profiler.trace(folder))
            traced = True
        with jax.profiler.StepTraceAnnotation("train", step_num=start, stop=stop):
            yield
        if stop == steps.stop:
            close()

    def close() -> None:
        try:
            trace.close()
        except (OSError, jax.errors.JaxRuntimeError) as error:
            _log.warning("%s: cannot be written (%s); training continues", folder, str(error).partition("\n")[0])

    try:
        yield recorded
    finally:
        close()
