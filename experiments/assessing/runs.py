"""Runs as a study of quality takes them: trained if they are not finished, evaluated if they are not evaluated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgan.config import Config, changed_fields
from jaxgan.errors import UserError
from jaxgan.evaluation import classifier, protocol
from jaxgan.runtime import checkpoints, tracking
from jaxgan.runtime.assessment import assess_run
from jaxgan.runtime.launch import run
from jaxgan.runtime.workdir import Workdir, check_resume, load_config, write_atomically

Evaluation = Mapping[str, Any]  # as ``jaxgan evaluate`` writes it


def check_seeds(seeds: int, *, flag: str = "--seeds") -> range:
    """Returns the seeds from 0 on; raises UserError if there are none."""
    if seeds < 1:
        raise UserError(f"{flag}: {seeds} is not allowed, it must be at least 1")
    return range(seeds)


def is_finished(config: Config) -> bool:
    """Whether the folder of a run holds it, with the same numbers, to its last epoch."""
    folder = Workdir(config.run.workdir)
    started = load_config(folder)
    if started is None or started.kind != config.kind or changed_fields(started, config):
        return False
    last = max((row["epoch"] for row in tracking.read_rows(folder.metrics)), default=0)
    return last == config.run.epochs and checkpoints.latest_step(folder.checkpoints) is not None


def check_folder(config: Config, *, flag: str = "--runs") -> None:
    """Looks whether a run can begin, or go on, in its folder.

    Args:
      config: the run.
      flag: what the folder's place is called by.

    Raises:
      UserError: if the folder holds a run with other numbers, or one that is longer, or something else.
    """
    folder = Workdir(config.run.workdir)
    last = max((row["epoch"] for row in tracking.read_rows(folder.metrics)), default=0)
    try:
        check_resume(
            config, started=load_config(folder), checkpointed=checkpoints.latest_step(folder.checkpoints) is not None
        )
    except UserError as error:  # a recipe's own command calls the folder by another flag
        words = str(error).removeprefix("--workdir: ").partition("; give another")[0]
        raise UserError(f"{flag}: {words}; give another folder") from error
    if last > config.run.epochs:
        raise UserError(
            f"{flag}: the run in {str(folder.root)!r} stands at epoch {last:g}, {config.run.epochs} were asked for; "
            "give another folder"
        )


def train(config: Config) -> None:
    """Carries out a run unless it is finished; raises UserError if its folder holds another."""
    if not is_finished(config):
        run(config)


def training_seconds(folder: Path) -> float:
    """Reads how long a run has trained, evaluations and pictures not counted."""
    return max((row["seconds"] for row in tracking.read_rows(Workdir(folder).timings)), default=0.0)


def evaluate(folder: Path, *, seeds: range, count: int = protocol.COUNT, data_dir: Path | None = None) -> Evaluation:
    """Evaluates a run as ``jaxgan evaluate`` does, or takes its evaluation if that is of the same state and protocol.

    Args:
      folder: the run's.
      seeds: what its samples are drawn by.
      count: samples.
      data_dir: root of prepared data sets; None for that of the run.

    Returns:
      What ``jaxgan evaluate`` wrote to ``evaluation.json``.

    Raises:
      UserError: if there is no such run, or no classifier for its data.
    """
    path = folder / "evaluation.json"
    if (known := evaluation_at(path, folder=folder, seeds=seeds, count=count)) is not None:
        return known
    text = assess_run(folder, count=count, seeds=seeds, data_dir=data_dir).to_json()
    write_atomically(path, text)
    return json.loads(text)


def evaluation_at(path: Path, *, folder: Path, seeds: range, count: int) -> Evaluation | None:
    """Reads an evaluation, if it is of a run's newest checkpoint and was made by the protocol that is wanted."""
    config, step = load_config(Workdir(folder)), checkpoints.latest_step(Workdir(folder).checkpoints)
    if config is None or step is None or not path.exists():
        return None
    if path.stat().st_mtime < (Workdir(folder).checkpoints / str(step)).stat().st_mtime:
        return None
    wanted_subject = {
        "step": step,
        "checkpoint": "newest",
        "parameters": "averaged" if getattr(config.method, "ema_decay", 0) else "last",
    }
    wanted_protocol = {
        "data": config.run.data,
        "features": classifier.load(config.run.data).version,
        "n_fake": count,
        "seeds": list(seeds),
    }
    try:
        found = json.loads(path.read_text())
        fits = wanted_subject.items() <= found["subject"].items()
        fits = fits and all(found["protocol"][name] == value for name, value in wanted_protocol.items())
        return found if fits else None
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
