"""Evaluation of runs: draws samples and measures them by the protocol, during training or afterwards."""

import functools
import hashlib
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxgan import data
from jaxgan.config import Config, swept_fields
from jaxgan.data import Dataset, Stream
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.evaluation import feature_network, protocol, sample_files
from jaxgan.evaluation.report import Evaluation, Protocol
from jaxgan.methods import Method, OwnMethod
from jaxgan.runs import environment, pictures
from jaxgan.runs.held_out import held_out_metrics
from jaxgan.runs.load import LoadedRun, load_replicas, load_run
from jaxgan.runs.mirror import local_copy
from jaxgan.runs.sampler import Images, Labels, make_sampler
from jaxgan.runs.workdir import Workdir, load_config
from jaxgan.runtime.devices import enable_compilation_cache
from jaxgan.runtime.numerics import fixed_numerics

IN_ROWS = (
    *("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"),
    *("classifier_score", "class_balance", "largest_share_error"),
    *("requested_class_accuracy", "class_frechet_distance"),
)

Drawn = tuple[Images, Labels | None, dict[str, float]]  # samples, their labels, and metrics of the state


def during_training(
    config: Config,
    method: Method,
    dataset: Dataset | Stream,
    held_out: Dataset,
    *,
    count: int = protocol.COUNT,
    of_each: Mapping[int, Method] = types.MappingProxyType({}),
) -> Callable[[Any, int | None], dict[str, float]]:
    """Makes the function that evaluates a run while it trains, as ``jaxgan evaluate`` does afterwards.

    Args:
      config: the config of the run.
      method: the method that it trains.
      dataset: the training images.
      held_out: the test images.
      count: number of samples.
      of_each: the methods of replicas by number, if they differ.

    Returns:
      A function from the method's state, and the number of the replica, to the metrics of the samples of seed 0, and
      the Frechet distance of real images. The first call computes the statistics of real images.

    Raises:
      UserError: if the data set has no classifier, or the method draws no images.
    """
    if feature_network.has_no_classifier(config.run.data, classes=len(dataset.class_names)):
        raise UserError(
            "--evaluate-every: pictures without labels and arrays of a program have no classifier; leave it out, and "
            "evaluate afterwards"
        )
    network = feature_network.load(config.run.data, image_size=config.run.image_size, classes=len(dataset.class_names))
    _require_samples(method, config)
    protocol.require_enough(held_out)
    samplers = {number: make_sampler(replica_method) for number, replica_method in of_each.items()}
    shared = make_sampler(method)
    count = min(count, dataset.size)

    @functools.cache
    def real() -> tuple[protocol.Reference, float, Labels | None]:
        against = protocol.reference(network, held_out)
        chosen = protocol.floor_choice(dataset.size, count=count)
        if isinstance(dataset, Stream):
            images, labels = dataset.read(chosen)
        else:
            images, labels = dataset.images[chosen], dataset.labels[chosen]
        floor = protocol.measure(images, against, seed=protocol.FLOOR_SEED)["frechet_distance"]
        return against, floor, labels if method.classes else None

    def evaluate(state: Any, replica: int | None = None) -> dict[str, float]:
        against, floor, labels = real()
        sample = shared if replica is None else samplers.get(replica, shared)
        images = sample(jax.device_get(state), 0, count, labels)
        metrics = protocol.measure(images, against, seed=0, requested=labels)
        kept = {name: metrics[name] for name in IN_ROWS if name in metrics} | {"floor_frechet_distance": floor}
        return {name: float(f"{value:.6g}") for name, value in kept.items()}  # more digits depend on threads

    return evaluate


@fixed_numerics()
def evaluate_run(
    folder: str | Path,
    *,
    count: int | None = None,
    seeds: int | Sequence[int] = (0,),
    averaged: bool = True,
    best: bool = False,
    replica: int | None = None,
    data_dir: Path | None = None,
    dataset: Any = None,
    method: OwnMethod | None = None,
    judge: Path | None = None,
) -> Evaluation:
    """Evaluates the newest checkpoint of a run, or its best one.

    In a run with replicas, evaluates each replica that has not diverged. Mean and deviation are then over replicas,
    each with its mean over the sample seeds.

    Args:
      folder: the working directory of the run.
      count: number of samples; None for 10,000, or for the number of training images if that is less.
      seeds: the seeds of the samples, which are drawn once for each; or a single seed.
      averaged: whether to use the averaged parameters, if the run has them.
      best: whether to use the checkpoint that ``--keep-best`` kept.
      replica: the number of the only replica to evaluate; None for all.
      data_dir: root of prepared data sets; None for that of the run.
      dataset: the arrays that the run trained on, if a program passed them.
      method: the method of the run, if it is code.
      judge: the weights of another classifier; None for the classifier of the data set.

    Returns:
      The evaluation.

    Raises:
      UserError: if there is no such run or replica, no classifier for its data, or the count is not allowed.
    """
    folder = local_copy(os.path.expanduser(folder))
    if count is not None:
        protocol.check_count(count)
    seeds = protocol.check_seeds(seeds)
    if replica is None:
        runs = load_replicas(folder, best=best, method=method)
    else:
        runs = {replica: load_run(folder, best=best, replica=replica, method=method)}
    run = next(iter(runs.values()))
    config = load_config(Workdir(folder)) or run.config
    where, swept = run.config.run, swept_fields(config)
    named = where.data != data.ARRAYS and not data.is_path(where.data)
    if named and find(where.data, image_size=where.image_size).stream_only:
        raise UserError(
            f"--data: {where.data!r} is streamed, too large to evaluate a run on it; use --evaluate-every "
            "while it trains, if the images have classes"
        )
    network = feature_network.choose(where.data, image_size=where.image_size, classes=run.classes, judge=judge)
    _require_samples(run.method, run.config)
    enable_compilation_cache()
    if dataset is not None and where.data != data.ARRAYS:
        raise UserError(f"dataset=: the run in {str(folder)!r} trained on {where.data!r}; leave it out")
    if dataset is None:
        train, test = _splits(where.data, data_dir or where.data_dir, image_size=where.image_size)
        pictures.require_alike(Workdir(folder), train, name=where.data)
    else:
        train, test = data.from_arrays(dataset, image_size=where.image_size)
        pictures.require_same(Workdir(folder), train, name=where.data)
    count = min(protocol.COUNT, train.size) if count is None else count
    protocol.check_count(count, most=train.size)
    averaged = averaged and run.state.averaged is not None

    labels = train.labels[protocol.floor_choice(train.size, count=count)] if run.method.classes else None

    def drawn(run: LoadedRun) -> list[Drawn]:
        state, sample = run.state if averaged else run.state.replace(averaged=None), make_sampler(run.method)
        return [
            (sample(state, seed, count, labels), labels, held_out_metrics(run.method, state, test, seed=seed))
            for seed in seeds
        ]

    return _evaluation(
        {
            "workdir": str(folder),
            "method": run.config.method.title,
            "step": run.step,
            "epoch": run.step / (len(train.images) // run.config.run.batch_size),
            "checkpoint": "best" if best else "newest",
            "parameters": "averaged" if averaged else "last",
            **({} if replica is None else {"replica": replica}),
        },
        (drawn(member) for member in runs.values()),
        network=network,
        train=train,
        test=test,
        seeds=seeds,
        count=count,
        replicas=[
            {
                "replica": number,
                "seed": member.config.run.seed,
                **{name: getattr(member.config.method, name) for name in swept},
            }
            for number, member in runs.items()
            if config.run.several and replica is None
        ],
        importance_samples=run.method.likelihood.samples if run.method.likelihood else None,
        floor_labels=labels is not None,
    )


@fixed_numerics()
def evaluate_file(
    path: Path,
    *,
    data_name: str,
    count: int | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
    judge: Path | None = None,
) -> Evaluation:
    """Evaluates samples in a file, from any source.

    Args:
      path: an .npy or .npz file; see :func:`sample_files.read`.
      data_name: the data set that the samples imitate.
      count: number of samples, from the start of the file; None for all, but at most 10,000.
      seed: the seed of the subsets of the kernel distance.
      data_dir: root of prepared data sets; None for the default of TFDS.
      judge: as in :func:`evaluate_run`.

    Returns:
      The evaluation.

    Raises:
      UserError: if the file holds no such images or too few, or there is no classifier for the data set.
    """
    about = data.load(data_name, data_dir=data_dir) if data.is_path(data_name) else find(data_name)
    network = feature_network.choose(data_name, image_size=None, classes=len(about.class_names), judge=judge)
    images = sample_files.read(path, image_shape=about.image_shape)
    protocol.check_count(len(images), most=len(images), flag=f"--samples: {str(path)!r}")
    count = protocol.check_count(
        min(len(images), protocol.COUNT) if count is None else count, most=min(len(images), protocol.MOST)
    )
    enable_compilation_cache()
    train, test = _splits(data_name, data_dir)
    subject = {"samples": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    drawn = [[(images[:count], None, {})]]
    return _evaluation(subject, drawn, network=network, train=train, test=test, seeds=(seed,), count=count)


def _evaluation(
    subject: dict[str, Any],
    drawn: Iterable[Sequence[Drawn]],
    *,
    network: feature_network.FeatureNetwork,
    train: Dataset,
    test: Dataset,
    seeds: Sequence[int],
    count: int,
    replicas: Sequence[Mapping[str, Any]] = (),
    **further: Any,  # fields of the protocol
) -> Evaluation:
    """Measures the samples of each seed, of a run or of each of its replicas, and the floor."""
    against = protocol.reference(network, test)
    floors = protocol.floor(train, against, count=count)
    floors["nearest_training_distance"] = protocol.memorisation(test.images[:count], train.images)
    measured = [
        [
            protocol.measure(images, against, seed=seed, requested=requested)
            | {"nearest_training_distance": protocol.memorisation(images, train.images)}
            | state_metrics
            for seed, (images, requested, state_metrics) in zip(seeds, member, strict=True)
        ]
        for member in drawn
    ]
    means = [{name: number.mean for name, number in protocol.summarize(rows, {}).items()} for rows in measured]
    return Evaluation(
        subject,
        Protocol(
            data=test.name,
            features=network.version,
            n_real=len(test.images),
            n_fake=count,
            seeds=tuple(seeds),
            floor=f"{count:,} training images, chosen by seed {protocol.FLOOR_SEED}, instead of samples",
            **further,
        ),
        protocol.summarize(means if replicas else measured[0], floors),
        environment.versions("jax", "numpy"),
        [{**about, "metrics": mean} for about, mean in zip(replicas, means, strict=True)] if replicas else [],
    )


def _splits(name: str, data_dir: Path | None, *, image_size: int | None = None) -> tuple[Dataset, Dataset]:
    train, test = (
        data.load(name, split=split, data_dir=data_dir, image_size=image_size) for split in ("train", "test")
    )
    return train, test


def _require_samples(method: Method, config: Config) -> None:
    if method.sample is None:
        raise UserError(f"a run of {config.kind} draws no images, so there is nothing to evaluate by features")
