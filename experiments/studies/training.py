"""Shared by the quality studies: train or reuse a run, evaluate it once, and tabulate the results."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import jax
import tyro
from studies import machine
from studies.markdown import number

from jaxgan import methods
from jaxgan.config import Config, changed_fields, replica_configs, validate
from jaxgan.data.catalog import find
from jaxgan.errors import UserError, one_line_errors, parse, unknown_choice
from jaxgan.evaluation import feature_network
from jaxgan.evaluation.protocol import COUNT, check_count
from jaxgan.runs import checkpoints, tracking
from jaxgan.runs.console import layers
from jaxgan.runs.evaluate import evaluate_run
from jaxgan.runs.launch import run, stopped_in_words
from jaxgan.runs.train import Diverged
from jaxgan.runs.workdir import Workdir, load_config, write_atomically
from jaxgan.runtime.signals import exit_on_signals

Points = Sequence[tuple[float, float]]  # seconds of training, Fréchet distance

METRICS = {  # columns of a table, with their labels
    "frechet_distance": "Fréchet distance ↓",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "coverage": "coverage ↑",
    "kernel_distance": "kernel distance ↓",
    "density": "density ↑",
    "classifier_score": "classifier score ↑",
    "largest_share_error": "largest share error ↓",
    "confident_fraction": "confident ↑",
    "requested_class_accuracy": "requested class ↑",  # this and the next: of class-conditional methods
    "class_frechet_distance": "distance within classes ↓",
}
MAIN, MORE = tuple(METRICS)[:4], tuple(METRICS)[4:]
# The settings of r3gan.py in the studies of few epochs. With more epochs at these learning rates, the discriminator may
# lose its gradients.
SHORT = {
    "prior": "uniform",
    "r1_weight": 0.2,
    "r2_weight": 0.2,
    "classification_weight": 0.0,
    "generator_learning_rate": 2e-3,
    "discriminator_learning_rate": 2e-3,
}


class Result(NamedTuple):
    """The numbers of a finished run; with several training seeds, their means."""

    epochs: float
    seconds: float  # training time per seed, without evaluations
    parameters: int  # of the network that draws samples
    metrics: Mapping[str, Mapping[str, Any]]  # mean, deviation and floor, by name
    curve: Points  # measured during training and at the end
    measured: str  # date and machine
    seeds: int = 1  # number of training seeds


Results = dict[str, Result | str]  # by name; a string says how a run diverged


def command(program: str, options: type, study: Callable[[Any], Path], argv: Sequence[str] | None) -> None:
    """Runs a study as a command: parses its flags, runs it and prints its report."""
    with one_line_errors(program), exit_on_signals(program):
        path = study(parse(lambda: tyro.cli(options, args=argv, prog=program)))
        print(path.read_text(), path, sep="\n")


def check(flag: str, chosen: Sequence[str], choices: Mapping[str, Any], samples: int = COUNT, **least_one: int) -> None:
    """Raises UserError for an unknown choice, an invalid number of samples, or another number below 1."""
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
    """Changes the epochs and other fields of a recipe's run; a cosine decay still ends at the last step."""
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
    """Whether the working directory holds this run, with the same fields and trained to its last epoch."""
    folder = Workdir(config.run.workdir)
    started = load_config(folder)
    if started is None or started.kind != config.kind or changed_fields(started, config):
        return False
    last = max((row["epoch"] for row in tracking.read_rows(folder.metrics)), default=0)
    return last == config.run.epochs and checkpoints.latest_step(folder.checkpoints) is not None


def train(config: Config) -> None:
    """Trains a run, resuming from its checkpoint if there is one, unless it is finished."""
    print(f"{config.run.workdir} ...", flush=True)
    if not is_finished(config):
        run(config)


def training_seconds(folder: Path) -> float:
    """Reads the training time of a run, without evaluations and figures."""
    return max((row["seconds"] for row in tracking.read_rows(Workdir(folder).timings)), default=0.0)


def result(config: Config, *, samples: int = COUNT) -> Result:
    """Evaluates a finished run and collects its numbers."""
    folder, spec, seeds = Workdir(config.run.workdir), find(config.run.data), len(replica_configs(config))
    evaluation = evaluate_run(folder.root, count=samples, data_dir=config.run.data_dir)
    metrics = {name: evaluation.metrics[name]._asdict() for name in METRICS if name in evaluation.metrics}
    end = training_seconds(folder.root) / seeds
    seconds = {row["step"]: row["seconds"] / seeds for row in tracking.read_rows(folder.timings)}
    measured = defaultdict(list)
    for row in tracking.read_rows(folder.metrics):
        if row["step"] in seconds and row["step"] < evaluation.subject["step"] and "frechet_distance" in row:
            measured[seconds[row["step"]]].append(row["frechet_distance"])
    curve = [(at, fmean(values)) for at, values in measured.items()]
    method = methods.build(config.method, image_shape=spec.image_shape, classes=len(spec.class_names))
    generator = method.networks[method.generator(jax.eval_shape(method.init, jax.random.key(0))).name]
    return Result(
        epochs=evaluation.subject["epoch"],
        seconds=end,
        parameters=sum(layer.parameters for layer in layers(generator, batch_size=1)),
        metrics=metrics,
        curve=[*curve, (end, metrics["frechet_distance"]["mean"])],
        measured=f"{machine.now()}; {machine.processor()}, {len(machine.cpus())} CPUs",
        seeds=seeds,
    )


def over_seeds(found: Sequence[Result]) -> Result:
    """Averages the results of runs that differ only in their seeds."""
    if len(found) == 1:
        return found[0]
    metrics = {}
    for name in found[0].metrics:
        values = [each.metrics[name]["mean"] for each in found]
        metrics[name] = {**found[0].metrics[name], "mean": fmean(values), "deviation": stdev(values)}
    moments = zip(*(each.curve for each in found), strict=True)
    curve = [(fmean(at), fmean(values)) for at, values in (zip(*points, strict=True) for points in moments)]
    seconds = fmean(each.seconds for each in found)
    return found[0]._replace(seconds=seconds, metrics=metrics, curve=curve, seeds=len(found))


def measure(configs: Sequence[Config], *, program: str, samples: int = COUNT) -> Result | str:
    """Trains and evaluates the runs of a row, one per training seed; a string says how one diverged."""
    found = []
    for config in configs:
        with stopped_in_words(program, config):
            try:
                train(config)
                found.append(result(config, samples=samples))
            except Diverged as failure:
                return f"diverged, {failure}"
    return over_seeds(found)


def results(
    configs: Mapping[str, Sequence[Config]], chosen: Sequence[str], *, path: Path, program: str, samples: int = COUNT
) -> Iterator[Results]:
    """Trains and evaluates the chosen runs, and keeps the other results of the study.

    Args:
      configs: the runs of every row of the study, one per training seed, by name.
      chosen: names of the rows to train.
      path: JSON file of all results; results of another feature network or number of samples are dropped.
      program: name of the command, for error messages.
      samples: number of images drawn from each run.

    Yields:
      After each row, all results in the order of the study.
    """
    data = dict.fromkeys(each.run.data for runs in configs.values() for each in runs)
    networks = [feature_network.load(name).version for name in data]
    protocol, found = {"samples": samples, "features": ", ".join(networks)}, {}
    saved = json.loads(path.read_text()) if path.exists() else {}
    if {name: saved.get(name) for name in protocol} == protocol:
        found = {name: row if isinstance(row, str) else Result(**row) for name, row in saved["results"].items()}
    for name in (name for name in configs if name in chosen):
        found[name] = measure(configs[name], program=program, samples=samples)
        found = {name: found[name] for name in configs if name in found}
        rows = {name: row if isinstance(row, str) else row._asdict() for name, row in found.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(protocol | {"results": rows}, indent=1) + "\n")
        yield found


def labels(metrics: Sequence[str]) -> list[str]:
    """Returns the column labels of metrics."""
    return [METRICS[name] for name in metrics]


def cells(result: Result | str, metrics: Sequence[str], *, kind: str = "mean") -> list[str]:
    """Formats the metrics of a result with their deviations, or their floors; a string goes into the first cell."""
    if isinstance(result, str):
        return [result, *[""] * (len(metrics) - 1)]
    found = []
    for name in metrics:
        values = result.metrics.get(name, {})
        deviation = values.get("deviation") if kind == "mean" else None
        found.append(number(values[kind]) + ("" if deviation is None else f" ± {deviation:.2g}") if values else "")
    return found


def floor_cells(results: Results, metrics: Sequence[str]) -> list[str]:
    """Formats the metrics of real images, which are the same in all results."""
    rows = [cells(result, metrics, kind="floor") for result in results.values() if isinstance(result, Result)]
    return [next(filter(None, column), "") for column in zip(*rows, strict=True)] or [""] * len(metrics)


def protocol_text(samples: int, data: str = "mnist") -> str:
    """Describes how samples are evaluated."""
    return (
        f"`jaxgan evaluate` scores {samples:,} samples against the test images of {find(data).title}. The floor scores "
        f"training images as if they were samples. Feature network: {feature_network.load(data).version}; scores of "
        "different networks are not comparable."
    )
