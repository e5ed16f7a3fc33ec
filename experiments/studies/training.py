"""What the studies of quality share: train a run or reuse it, evaluate it once, and put it into a table."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import tyro
from studies.markdown import number

from jaxgan import methods
from jaxgan.config import Config, changed_fields, validate
from jaxgan.data.catalog import find
from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice
from jaxgan.evaluation import feature_network
from jaxgan.evaluation.protocol import COUNT, check_count
from jaxgan.runs import checkpoints, tracking
from jaxgan.runs.console import layers
from jaxgan.runs.evaluate import evaluate_run
from jaxgan.runs.launch import run, stopped_in_words
from jaxgan.runs.train import Diverged
from jaxgan.runs.workdir import Workdir, check_resume, load_config, write_atomically
from jaxgan.runtime.signals import exit_on_sigterm

SAME_FLOOR = 1e-3  # relative difference of floors that one feature network measured
Evaluation = Mapping[str, Any]  # as `jaxgan evaluate` writes it
Points = Sequence[tuple[float, float]]  # seconds of training, Fréchet distance

# Metrics of a table: the column's label, and whether its numbers are fractions.
METRICS = {
    "frechet_distance": ("Fréchet distance ↓", False),
    "precision": ("precision ↑", True),
    "recall": ("recall ↑", True),
    "coverage": ("coverage ↑", True),
    "kernel_distance": ("kernel distance ↓", False),
    "density": ("density ↑", True),
    "classifier_score": ("classifier score ↑", False),
    "largest_share_error": ("largest share error ↓", True),
    "confident_fraction": ("confident ↑", True),
}
MAIN, MORE = tuple(METRICS)[:4], tuple(METRICS)[4:]


class Result(NamedTuple):
    """A finished run in numbers."""

    epochs: float
    seconds: float  # of training, without evaluations
    parameters: int  # of the network that draws
    metrics: Mapping[str, Mapping[str, float | None]]  # mean, deviation and floor, by name
    curve: Points  # as measured in training, and at the end


def command(program: str, options: type, study: Callable[[Any], Path], argv: Sequence[str] | None) -> None:
    """Runs a study as a command: reads its flags, carries it out and prints its report."""
    with one_line_errors(program), exit_on_sigterm(program):
        path = study(parse(lambda: tyro.cli(options, args=argv, prog=program)))
        print(path.read_text(), path, sep="\n")


def check(flag: str, chosen: Sequence[str], choices: Mapping[str, Any], samples: int = COUNT, **least_one: int) -> None:
    """Raises UserError for an unknown choice, a number of samples that is not allowed, or another number below 1."""
    for name in chosen:
        if name not in choices:
            raise unknown_choice(flag, name, choices)
    if not chosen:
        raise UserError(f"{flag}: none given, choose from {', '.join(choices)}")
    for name, value in least_one.items():
        if value < 1:
            raise UserError(f"--{name.replace('_', '-')}: {value} is not allowed, it must be at least 1")
    check_count(samples, flag="--samples")


def with_epochs(recipe: Config, epochs: int, **run: Any) -> Config:
    """Gives a recipe another number of epochs and other fields of its run; a cosine decay ends with the last step."""
    drawn = {epoch for epoch in recipe.run.sample_epochs if epoch < epochs} | {epochs}
    config = dataclasses.replace(
        recipe, run=dataclasses.replace(recipe.run, epochs=epochs, sample_epochs=tuple(sorted(drawn)), **run)
    )
    if getattr(recipe.method, "decay_steps", 0):
        steps = epochs * (find(config.run.data).examples["train"] // config.run.batch_size)
        config = dataclasses.replace(config, method=dataclasses.replace(recipe.method, decay_steps=steps))
    validate(config)
    return config


def is_finished(config: Config) -> bool:
    """Whether the folder of a run holds it, with the same numbers, to its last epoch."""
    folder = Workdir(config.run.workdir)
    started = load_config(folder)
    if started is None or started.kind != config.kind or changed_fields(started, config):
        return False
    last = max((row["epoch"] for row in tracking.read_rows(folder.metrics)), default=0)
    return last == config.run.epochs and checkpoints.latest_step(folder.checkpoints) is not None


def train(config: Config) -> None:
    """Carries out a run unless it is finished."""
    print(f"{config.run.workdir} ...", flush=True)
    if not is_finished(config):
        run(config)


def check_folders(configs: Sequence[Config]) -> None:
    """Raises UserError, before any training, if the folder of a run holds another one."""
    for config in configs:
        folder = Workdir(config.run.workdir)
        saved = checkpoints.latest_step(folder.checkpoints) is not None
        try:
            check_resume(config, started=load_config(folder), checkpointed=saved)
        except UserError as error:
            words = str(error).removeprefix("--workdir: ").partition("; give another")[0]
            raise UserError(f"--runs: {words}; give another folder") from error


def training_seconds(folder: Path) -> float:
    """Reads how long a run has trained, without evaluations and figures."""
    return max((row["seconds"] for row in tracking.read_rows(Workdir(folder).timings)), default=0.0)


def evaluate(folder: Path, *, seeds: int = 1, samples: int = COUNT, data_dir: Path | None = None) -> Evaluation:
    """Evaluates a run as `jaxgan evaluate` does, by so many draws of so many samples, or reads its evaluation."""
    config, saved = load_config(Workdir(folder)), Workdir(folder).checkpoints
    step = checkpoints.latest_step(saved)
    return remembered(
        folder / "evaluation.json",
        lambda: evaluate_run(folder, count=samples, seeds=range(seeds), data_dir=data_dir).to_json(),
        newer_than=saved / str(step),
        step=step,
        checkpoint="newest",
        parameters="averaged" if getattr(config and config.method, "ema_decay", 0) else "last",
        n_fake=samples,
        seeds=list(range(seeds)),
    )


def remembered(path: Path, make: Callable[[], str], *, newer_than: Path, **wanted: Any) -> Evaluation:
    """Reads an evaluation that is newer than what it evaluates and says what is wanted; makes it otherwise."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or of another version
        found = json.loads(path.read_text())
        says = found["subject"] | found["protocol"]
        wanted["features"] = feature_network.load(says["data"]).version
        fresh = path.stat().st_mtime >= newer_than.stat().st_mtime
        if fresh and all(says[name] == value for name, value in wanted.items()):
            return found
    text = make()
    write_atomically(path, text)
    return json.loads(text)


def result(config: Config, *, seeds: int = 1, samples: int = COUNT) -> Result:
    """Evaluates a finished run and collects its numbers."""
    folder = config.run.workdir
    evaluation = evaluate(folder, seeds=seeds, samples=samples, data_dir=config.run.data_dir)
    distance, end = evaluation["metrics"]["frechet_distance"], training_seconds(folder)
    seconds = {row["step"]: row["seconds"] for row in tracking.read_rows(Workdir(folder).timings)}
    curve = [
        (seconds[row["step"]], row["frechet_distance"])
        for row in tracking.read_rows(Workdir(folder).metrics)
        if row["step"] in seconds
        and row["step"] < evaluation["subject"]["step"]
        and abs(row.get("floor_frechet_distance", 0) / distance["floor"] - 1) < SAME_FLOOR
    ]
    spec = find(config.run.data)
    method = methods.build(config.method, image_shape=spec.image_shape, classes=len(spec.class_names))
    generator = method.networks[method.generator(jax.eval_shape(method.init, jax.random.key(0))).name]
    return Result(
        epochs=evaluation["subject"]["epoch"],
        seconds=end,
        parameters=sum(layer.parameters for layer in layers(generator, batch_size=1)),
        metrics=evaluation["metrics"],
        curve=[*curve, (end, distance["mean"])],
    )


def results(
    configs: Mapping[str, Config], asked: Sequence[str], *, program: str, seeds: int = 1, samples: int = COUNT
) -> Iterator[dict[str, Result | str]]:
    """Takes finished runs, and trains those that are asked for.

    Args:
      configs: every run of the study, by name.
      asked: which of them to train.
      program: the name of the command, for its errors.
      seeds: how many times samples are drawn from each.
      samples: how many.

    Yields:
      After each run all results so far, in the order of the study; a text for a run that diverged.
    """
    check_folders([configs[name] for name in asked])
    finished, found = [name for name in configs if is_finished(configs[name])], {}
    for name in [*finished, *(name for name in configs if name in asked and name not in finished)]:
        with stopped_in_words(program, configs[name]):
            try:
                train(configs[name])
                found[name] = result(configs[name], seeds=seeds, samples=samples)
            except Diverged as failure:
                found[name] = f"diverged, {failure}"
        yield {name: found[name] for name in configs if name in found}


def labels(metrics: Sequence[str]) -> list[str]:
    """The columns of metrics."""
    return [METRICS[name][0] for name in metrics]


def cells(found: Result | str, metrics: Sequence[str]) -> list[str]:
    """Writes metrics of a result; a text takes the first cell."""
    if isinstance(found, str):
        return [found, *[""] * (len(metrics) - 1)]
    return [measured(name, found.metrics[name]["mean"], found.metrics[name]["deviation"]) for name in metrics]


def floor_cells(found: Mapping[str, Result | str], metrics: Sequence[str]) -> list[str]:
    """Writes the metrics of real images, which all results share."""
    floors = next((each.metrics for each in found.values() if isinstance(each, Result)), {})
    return [measured(name, floors[name]["floor"]) if floors else "" for name in metrics]


def measured(metric: str, mean: float, deviation: float | None = None) -> str:
    """Writes a mean, with its deviation where there is one."""
    text = f"{mean:.3f}" if METRICS[metric][1] else number(mean)
    return text + ("" if deviation is None else f" ± {deviation:.2g}")


def protocol_text(seeds: int, samples: int) -> str:
    """Says how samples are evaluated."""
    drawn = "drawn once" if seeds == 1 else f"drawn {seeds} times (mean ± deviation)"
    return (
        f"`jaxgan evaluate` scores {samples:,} samples, {drawn}, against the test images of MNIST. "
        "The floor scores training images as if they were samples. "
        f"Feature network: {feature_network.load('mnist').version}; numbers of different networks do not compare."
    )
