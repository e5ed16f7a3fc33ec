"""Evaluation of runs: samples drawn and measured as the protocol says, while training or afterwards."""

import functools
import hashlib
import os
import platform
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

import jaxgan
from jaxgan import data
from jaxgan.config import Config, swept_fields
from jaxgan.data import Dataset, Stream
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.evaluation import feature_network, protocol, sample_files
from jaxgan.evaluation.report import Evaluation, Protocol
from jaxgan.methods import Batch, Method, OwnMethod
from jaxgan.runs import pictures
from jaxgan.runs.load import SAMPLE_BATCH, LoadedRun, batch_key, load_replicas, load_run
from jaxgan.runs.mirror import local_copy
from jaxgan.runs.workdir import Workdir, load_config
from jaxgan.runtime.devices import enable_compilation_cache
from jaxgan.runtime.numerics import fixed_numerics
from jaxgan.runtime.program import ASSESS_STREAM, held_out_means, stream_key, to_bytes, to_unit_range

LIKELIHOOD_BATCH = 500  # images whose likelihood is estimated together
IN_ROWS = (
    *("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"),
    *("classifier_score", "class_balance", "largest_share_error", "requested_class_accuracy"),
)

Images = UInt8[np.ndarray, "count height width channels"]
Drawn = tuple[Images, np.ndarray | None, dict[str, float]]  # samples, their labels, metrics of the state that drew them


def make_sampler(method: Method) -> Callable[[Any, int, int], Images]:
    """Makes the function that draws samples for evaluation, a batch at a time.

    Args:
      method: the method.

    Returns:
      A function from (state, seed, count) to images, of which the i-th depends on the state, the seed and i.
    """

    @jax.jit
    def batch(state: Any, seed: jax.Array, number: jax.Array) -> jax.Array:
        assert method.sample is not None
        return to_bytes(method.sample(state, batch_key(seed, number), SAMPLE_BATCH))

    def sample(state: Any, seed: int, count: int) -> Images:
        numbers = range(-(-count // SAMPLE_BATCH))
        return np.concatenate([batch(state, np.uint32(seed), np.int32(number)) for number in numbers])[:count]

    return sample


def requested_labels(method: Method, count: int) -> Int[np.ndarray, " count"] | None:
    """The labels of the samples of :func:`make_sampler`; None if they are unconditional."""
    if method.sampled_labels is None:
        return None
    return np.resize(np.asarray(method.sampled_labels(SAMPLE_BATCH)), count)  # each batch begins anew


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
      config: the run's.
      method: what it trains.
      dataset: its training images.
      held_out: the test images.
      count: samples to draw.
      of_each: by number the methods of replicas, if these differ.

    Returns:
      A function from the method's state, and the number of the replica, to the metrics of the samples of seed 0, and
      the Frechet distance of real images. The statistics of real images are computed at its first call.

    Raises:
      UserError: if there is no classifier for the data set, or the method draws no images.
    """
    if _has_no_classifier(config.run.data, classes=len(dataset.class_names)):
        raise UserError(
            "--evaluate-every: pictures without labels train no classifier, nor do arrays of a program; leave it out, "
            "and evaluate them afterwards"
        )
    network = feature_network.load(config.run.data, image_size=config.run.image_size)
    _require_samples(method, config)
    protocol.require_enough(held_out)
    samplers = {number: make_sampler(each) for number, each in of_each.items()}
    shared = make_sampler(method)
    count = min(count, dataset.size)

    @functools.cache
    def real() -> tuple[protocol.Reference, float]:
        against = protocol.reference(network, held_out)
        chosen = protocol.floor_choice(dataset.size, count=count)
        images = dataset.read(chosen)[0] if isinstance(dataset, Stream) else dataset.images[chosen]
        return against, protocol.measure(images, against, seed=protocol.FLOOR_SEED)["frechet_distance"]

    def evaluate(state: Any, replica: int | None = None) -> dict[str, float]:
        against, floor = real()
        sample = shared if replica is None else samplers.get(replica, shared)
        images = sample(jax.device_get(state), 0, count)
        found = protocol.measure(images, against, seed=0, requested=requested_labels(method, count))
        kept = {name: found[name] for name in IN_ROWS if name in found} | {"floor_frechet_distance": floor}
        return {name: float(f"{value:.6g}") for name, value in kept.items()}  # beyond that, threads may differ

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
    """Evaluates what a run has learned by its newest checkpoint, or by its best one.

    Of a run with replicas it evaluates each that has not diverged; mean and deviation are then over these, each of
    which counts with its mean over the seeds of samples.

    Args:
      folder: the run's.
      count: samples; None for 10,000, or as many as there are training images.
      seeds: what the samples are drawn by, once for each; or one.
      averaged: whether to take the averaged parameters, where the run keeps any.
      best: whether to take the checkpoint that ``--keep-best`` kept.
      replica: which replica of the run alone; None for all.
      data_dir: root of prepared data sets; None for that of the run.
      dataset: the arrays that the run trained on, if it did on those of a program.
      method: that of the run, if it is code.
      judge: the weights of another classifier to measure by; None for that of the data set.

    Returns:
      The evaluation.

    Raises:
      UserError: if there is no such run or replica, no classifier for its data, or the count is not allowed.
    """
    folder = local_copy(os.path.expanduser(folder))
    if count is not None:
        protocol.check_count(count)
    seeds = (seeds,) if isinstance(seeds, int) else tuple(seeds)
    if not seeds or not all(isinstance(seed, int | np.integer) and 0 <= seed < 2**32 for seed in seeds):
        raise UserError(f"seeds=: {seeds} is not allowed, give one or more, each at least 0 and below {2**32}")
    if replica is None:
        runs = load_replicas(folder, best=best, method=method)
    else:
        runs = {replica: load_run(folder, best=best, replica=replica, method=method)}
    run = next(iter(runs.values()))
    config = load_config(Workdir(folder)) or run.config
    where, swept = run.config.run, swept_fields(config)
    network = _network(where.data, image_size=where.image_size, classes=run.classes, judge=judge)
    _require_samples(run.method, run.config)
    enable_compilation_cache()
    if dataset is not None and where.data != data.ARRAYS:
        raise UserError(f"dataset=: the run in {str(folder)!r} trained on {where.data!r}; leave it out")
    if dataset is None:
        train, test = _splits(where.data, data_dir or where.data_dir, image_size=where.image_size)
    else:
        train, test = data.from_arrays(dataset, image_size=where.image_size)
        pictures.require_same(Workdir(folder), train, name=where.data)
    count = min(protocol.COUNT, train.size) if count is None else count
    protocol.check_count(count, most=train.size)
    averaged = averaged and run.state.averaged is not None

    def drawn(run: LoadedRun) -> list[Drawn]:
        state = run.state if averaged else run.state.replace(averaged=None)
        sample, requested = make_sampler(run.method), requested_labels(run.method, count)
        return [
            (sample(state, seed, count), requested, _held_out_metrics(run, state, test, seed=seed)) for seed in seeds
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
        (drawn(each) for each in runs.values()),
        network=network,
        train=train,
        test=test,
        seeds=seeds,
        count=count,
        replicas=[
            {
                "replica": number,
                "seed": each.config.run.seed,
                **{name: getattr(each.config.method, name) for name in swept},
            }
            for number, each in runs.items()
            if config.run.several and replica is None
        ],
        importance_samples=run.method.likelihood.samples if run.method.likelihood else None,
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
    """Evaluates samples in a file, whatever drew them.

    Args:
      path: an .npy or .npz file; see :func:`sample_files.read`.
      data_name: the data set that they imitate.
      count: how many of them to take, the first ones; None for all, but at most 10,000.
      seed: of the subsets of the kernel distance.
      data_dir: root of prepared data sets; None for where TFDS looks.
      judge: as in :func:`evaluate_run`.

    Returns:
      The evaluation.

    Raises:
      UserError: if the file holds no such images or too few, or there is no classifier for the data set.
    """
    about = data.load(data_name, data_dir=data_dir) if data.is_path(data_name) else find(data_name)
    network = _network(data_name, image_size=None, classes=len(about.class_names), judge=judge)
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


def _held_out_metrics(run: LoadedRun, state: Any, test: Dataset, *, seed: int) -> dict[str, float]:
    """The metrics of the method's ``evaluate`` on all test images, and their negative log-likelihood if it has one."""
    found = {}
    if run.method.evaluate:
        means = jax.jit(held_out_means(run.method))(state, jnp.asarray(test.images), jnp.asarray(test.labels), seed)
        found |= {f"test_{name}": float(value) for name, value in means.items()}
    if run.method.likelihood:
        found["test_importance_weighted_nll"] = negative_log_likelihood(run.method, state, test, seed=seed)
    return found


@fixed_numerics()
def negative_log_likelihood(
    method: Method, state: Any, test: Dataset, *, seed: int, samples: int | None = None
) -> float:
    """Estimates the negative log-likelihood of test images, with pixels as the run was trained on them.

    Args:
      method: one with a likelihood.
      state: its state.
      test: the images. Where the method binarizes, each is drawn once, by the seed and its place among them.
      seed: of that draw and of the latents.
      samples: latents per image; None for the method's own number.

    Returns:
      Nats per image; for soft pixels those of a bound's, which is no likelihood.
    """
    assert method.likelihood is not None
    estimate, key = method.likelihood.estimate, stream_key(seed, ASSESS_STREAM)
    samples = method.likelihood.samples if samples is None else samples

    @jax.jit
    def total(state: Any, images: jax.Array, labels: jax.Array, index: jax.Array) -> jax.Array:
        return jnp.sum(estimate(state, Batch(to_unit_range(images), labels, index), key, samples))

    count = len(test.images)
    parts = [np.arange(start, min(start + LIKELIHOOD_BATCH, count)) for start in range(0, count, LIKELIHOOD_BATCH)]
    return -sum(float(total(state, test.images[part], test.labels[part], part)) for part in parts) / count


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
    importance_samples: int | None = None,
) -> Evaluation:
    """Measures the images of each seed, drawn by a run or by each of its replicas, beside the floor."""
    against = protocol.reference(network, test)
    floors = protocol.floor(train.images, against, count=count)
    floors["nearest_training_distance"] = protocol.memorisation(test.images[:count], train.images)
    found = [
        [
            protocol.measure(images, against, seed=seed, requested=requested)
            | {"nearest_training_distance": protocol.memorisation(images, train.images)}
            | more
            for seed, (images, requested, more) in zip(seeds, each, strict=True)
        ]
        for each in drawn
    ]
    means = [{name: number.mean for name, number in protocol.summarize(each, {}).items()} for each in found]
    return Evaluation(
        subject,
        Protocol(
            data=test.name,
            features=network.version,
            n_real=len(test.images),
            n_fake=count,
            seeds=tuple(seeds),
            floor=f"{count:,} training images, chosen by seed {protocol.FLOOR_SEED}, in the place of samples",
            importance_samples=importance_samples,
        ),
        protocol.summarize(means if replicas else found[0], floors),
        {"python": platform.python_version()}
        | {"jaxgan": jaxgan.__version__}
        | {name: version(name) for name in ("jax", "numpy")},
        [{**about, "metrics": each} for about, each in zip(replicas, means, strict=True)] if replicas else [],
    )


def _network(name: str, *, image_size: int | None, classes: int, judge: Path | None) -> feature_network.FeatureNetwork:
    """The classifier that is asked for, or that of the data set; pixels where there can be none."""
    if judge is not None:
        return feature_network.load_judge(judge, name, image_size=image_size)
    if _has_no_classifier(name, classes=classes):
        return feature_network.pixels()
    return feature_network.load(name, image_size=image_size)


def _has_no_classifier(name: str, *, classes: int) -> bool:
    """Whether no classifier can be kept for a data set: pictures without labels, or arrays of a program."""
    return name == data.ARRAYS or (data.is_path(name) and classes == 1)


def _splits(name: str, data_dir: Path | None, *, image_size: int | None = None) -> tuple[Dataset, Dataset]:
    train, test = (
        data.load(name, split=split, data_dir=data_dir, image_size=image_size) for split in ("train", "test")
    )
    return train, test


def _require_samples(method: Method, config: Config) -> None:
    if method.sample is None:
        raise UserError(f"a run of {config.kind} draws no images, so there is nothing to evaluate by features")
