"""Where a finished run stands: what it cost, what its samples are worth, and how both came about in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from assessing import runs
from jaxgan.config import Config
from jaxgan.data.catalog import find
from jaxgan.methods import networks
from jaxgan.runtime import tracking
from jaxgan.runtime.inspection import layers
from jaxgan.runtime.workdir import Workdir, load_config

SAME_FLOOR = 1e-3  # relative; evaluations of one protocol differ by less
Points = Sequence[tuple[float, float]]  # seconds of training, Fréchet distance


class Standing(NamedTuple):
    """A finished run in numbers."""

    title: str
    epochs: float
    seconds: float  # of training, evaluations not counted
    seed: int
    parameters: int  # of what draws: a generator or a decoder
    metrics: Mapping[str, Mapping[str, float | None]]  # mean, deviation and floor by name
    curve: Points
    measured: str  # when


def standing(folder: Path, evaluation: runs.Evaluation, *, measured: str) -> Standing:
    """Collects what a finished run and its evaluation say.

    Args:
      folder: the run's.
      evaluation: of its newest checkpoint.
      measured: the date.

    Returns:
      The numbers.
    """
    config = load_config(Workdir(folder))
    metrics, seconds = evaluation["metrics"], runs.training_seconds(folder)
    on_the_way = curve(folder, metrics["frechet_distance"], before=evaluation["subject"]["step"])
    return Standing(
        title=config.method.title,
        epochs=evaluation["subject"]["epoch"],
        seconds=seconds,
        seed=config.run.seed,
        parameters=generator_parameters(config),
        metrics=metrics,
        curve=[*on_the_way, (seconds, metrics["frechet_distance"]["mean"])],
        measured=measured,
    )


def curve(folder: Path, distance: Mapping[str, float | None], *, before: int) -> Points:
    """Reads the Fréchet distances that a run measured on its way.

    Args:
      folder: the run's.
      distance: the one at its end, with the floor. Rows that have another floor were measured by another feature
        network, do not compare and are left out.
      before: the last step, which is left out.

    Returns:
      Points in the order of time.
    """
    seconds = {row["step"]: row["seconds"] for row in tracking.read_rows(Workdir(folder).timings)}
    return [
        (seconds[row["step"]], row["frechet_distance"])
        for row in tracking.read_rows(Workdir(folder).metrics)
        if "frechet_distance" in row
        and row["step"] < before
        and row["step"] in seconds
        and abs(row["floor_frechet_distance"] / distance["floor"] - 1) < SAME_FLOOR
    ]


def generator_parameters(config: Config) -> int:
    """Counts the parameters of the network that draws."""
    spec = find(config.run.data)
    found = networks(config.method, image_shape=spec.image_shape, classes=len(spec.class_names))
    module, shape = found["generator" if "generator" in found else "decoder"]
    return sum(layer.parameters for layer in layers(module, shape, batch_size=1))


class Closer(NamedTuple):
    """How many times closer to the floor a method came than the one that it is held against."""

    at_the_end: float | None  # None: at the floor itself
    seconds: float  # of training that both had
    theirs: float | None  # the Fréchet distance of the other by then; None if it was not measured by then
    own: float | None
    at_equal_seconds: float | None


def closer(own: Points, theirs: Points, *, floor: float) -> Closer:
    """Holds the curve of a method against that of another, by their distances from the floor.

    Args:
      own: points of the method, the last one at its end.
      theirs: points of the other.
      floor: the Fréchet distance of real images.

    Returns:
      The comparison at the end of each, and after as many seconds as both had, each by its latest measurement then.
    """
    seconds = min(own[-1][0], theirs[-1][0])
    then = [[value for at, value in points if at <= seconds][-1:] for points in (own, theirs)]
    mine, other = (values[0] if values else None for values in then)
    return Closer(
        times(own[-1][1], theirs[-1][1], floor=floor),
        seconds,
        other,
        mine,
        None if mine is None or other is None else times(mine, other, floor=floor),
    )


def times(own: float, theirs: float, *, floor: float) -> float | None:
    """Divides the distances from the floor; None if there is none left."""
    return (theirs - floor) / (own - floor) if own > floor else None


def as_tree(found: Standing) -> dict[str, Any]:
    """Makes a tree for JSON of it."""
    return found._asdict() | {"curve": [list(point) for point in found.curve]}


def from_tree(tree: Mapping[str, Any]) -> Standing:
    """Reads what :func:`as_tree` made."""
    return Standing(**tree | {"curve": [tuple(point) for point in tree["curve"]]})
