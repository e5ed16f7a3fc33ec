"""Evaluation of runs: samples are drawn as the protocol wants them, and measured while training or afterwards."""

import functools
import hashlib
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int, UInt8

from jaxgan import data
from jaxgan.config import Config
from jaxgan.data import Dataset, Stream
from jaxgan.data.catalog import find
from jaxgan.errors import UserError
from jaxgan.evaluation import classifier, protocol, samples
from jaxgan.evaluation.report import Evaluation, Protocol
from jaxgan.methods import Method, build
from jaxgan.runtime import finished
from jaxgan.runtime.devices import enable_compilation_cache
from jaxgan.runtime.held_out import IMPORTANCE_SAMPLES, measure_held_out
from jaxgan.runtime.program import ASSESS_ROLE, role_key, to_bytes

DRAWN_AT_ONCE = 500
IN_ROWS = (
    *("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"),
    *("classifier_score", "class_balance", "largest_share_error", "requested_class_accuracy"),
)

Images = UInt8[np.ndarray, "count height width channels"]


def drawer(method: Method) -> Callable[[Any, int, int], Images]:
    """Makes the function that draws samples for evaluation, a part at a time.

    Args:
      method: the method, built for one device.

    Returns:
      A function from (state, seed, count) to images, of which the i-th depends on the state, the seed and i.
    """

    @jax.jit
    def part(state: Any, seed: np.uint32, number: np.int32) -> jax.Array:
        key = jax.random.fold_in(role_key(seed, ASSESS_ROLE), number)
        return to_bytes(method.sample(state, key, DRAWN_AT_ONCE))

    def draw(state: Any, seed: int, count: int) -> Images:
        parts = range(-(-count // DRAWN_AT_ONCE))
        return np.concatenate([part(state, np.uint32(seed), np.int32(number)) for number in parts])[:count]

    return draw


def during_training(
    config: Config, dataset: Dataset | Stream, held_out: Dataset, *, count: int = protocol.COUNT
) -> Callable[[Any], dict[str, float]]:
    """Makes the function that measures a run while it trains, as ``jaxgan evaluate`` does afterwards.

    Args:
      config: the run.
      dataset: its training images.
      held_out: the test images.
      count: samples to draw.

    Returns:
      A function from the method's state to the metrics of the samples of seed 0, and the Frechet distance that real
      images have. What real images have to give is computed when it is first called.

    Raises:
      UserError: if there is no classifier for the data set, or the method draws no images.
    """
    network = classifier.load(config.run.data)
    method = build(config.method, image_shape=held_out.image_shape, classes=len(held_out.class_names))
    _require_samples(method, config)
    draw = drawer(method)
    count = min(count, dataset.size)

    @functools.cache
    def real() -> tuple[protocol.Reference, float]:
        against = protocol.reference(network, held_out)
        chosen = protocol.floor_choice(dataset.size, count=count)
        images = dataset.read(chosen)[0] if isinstance(dataset, Stream) else dataset.images[chosen]
        return against, protocol.measure(images, against, seed=protocol.FLOOR_SEED)["frechet_distance"]

    def assess(state: Any) -> dict[str, float]:
        against, floor = real()
        images = draw(jax.device_get(state), 0, count)
        found = protocol.measure(images, against, seed=0, requested=requested_labels(method, count))
        kept = {name: found[name] for name in IN_ROWS if name in found} | {"floor_frechet_distance": floor}
        return {name: float(f"{value:.6g}") for name, value in kept.items()}  # beyond that, threads may differ

    return assess


def assess_run(
    folder: Path,
    *,
    count: int | None = None,
    seeds: Sequence[int] = (0,),
    averaged: bool = True,
    best: bool = False,
    data_dir: Path | None = None,
) -> Evaluation:
    """Evaluates what a run has learned by its newest checkpoint, or by its best one.

    Args:
      folder: the run's.
      count: samples; None for 10,000.
      seeds: what the samples are drawn by, once for each.
      averaged: whether to take the averaged parameters, where the run keeps any.
      best: whether to take the checkpoint that ``--keep-best`` kept.
      data_dir: root of prepared data sets; None for that of the run.

    Returns:
      The evaluation.

    Raises:
      UserError: if there is no such run, no classifier for its data, or the count is not allowed.
    """
    count = protocol.check_count(protocol.COUNT if count is None else count)
    run = finished.load(folder, best=best)
    network = classifier.load(run.config.run.data)
    _require_samples(run.method, run.config)
    enable_compilation_cache()
    train, test = _splits(run.config.run.data, data_dir or run.config.run.data_dir)
    protocol.check_count(count, most=len(train.images))
    averaged = averaged and getattr(run.state, "averaged", None) is not None
    state = run.state if averaged or not hasattr(run.state, "averaged") else run.state.replace(averaged=None)
    draw, requested = drawer(run.method), requested_labels(run.method, count)
    drawn = [draw(state, seed, count) for seed in seeds]
    extra = [measure_held_out(run, state, test, seed=seed) for seed in seeds]
    likely = any("test_importance_weighted_nll" in found for found in extra)
    return _evaluation(
        {
            "workdir": str(folder),
            "method": run.config.kind,
            "step": run.step,
            "epoch": run.step / (len(train.images) // run.config.run.batch_size),
            "checkpoint": "best" if best else "newest",
            "parameters": "averaged" if averaged else "last",
        },
        [(images, requested, found) for images, found in zip(drawn, extra, strict=True)],
        network=network,
        train=train,
        test=test,
        seeds=seeds,
        importance_samples=IMPORTANCE_SAMPLES if likely else None,
    )


def assess_file(
    path: Path, *, data_name: str, count: int | None = None, seed: int = 0, data_dir: Path | None = None
) -> Evaluation:
    """Evaluates samples in a file, whatever drew them.

    Args:
      path: an .npy or .npz file; see :func:`samples.read`.
      data_name: the data set that they are like.
      count: how many of them to take, the first ones; None for all, but at most 10,000.
      seed: how they are dealt to the subsets of the kernel distance.
      data_dir: root of prepared data sets; None for where TFDS looks.

    Returns:
      The evaluation.

    Raises:
      UserError: if the file holds no such images or too few, or there is no classifier for the data set.
    """
    spec = find(data_name)
    network = classifier.load(data_name)
    images = samples.read(path, image_shape=spec.image_shape)
    protocol.check_count(len(images), most=len(images), flag=f"--samples: {str(path)!r}")
    count = protocol.check_count(
        min(len(images), protocol.COUNT) if count is None else count, most=min(len(images), protocol.MOST)
    )
    enable_compilation_cache()
    train, test = _splits(data_name, data_dir)
    subject = {"samples": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    found = [(images[:count], None, {})]
    return _evaluation(subject, found, network=network, train=train, test=test, seeds=(seed,))


def _evaluation(
    subject: dict[str, Any],
    drawn: Sequence[tuple[Images, np.ndarray | None, dict[str, float]]],
    *,
    network: classifier.FeatureNetwork,
    train: Dataset,
    test: Dataset,
    seeds: Sequence[int],
    importance_samples: int | None = None,
) -> Evaluation:
    """Measures the images of each seed, beside the floor."""
    count = len(drawn[0][0])
    against = protocol.reference(network, test)
    floors = protocol.floor(train.images, against, count=count)
    floors["nearest_training_distance"] = protocol.memorisation(test.images[:count], train.images)
    found = [
        protocol.measure(images, against, seed=seed, requested=requested)
        | {"nearest_training_distance": protocol.memorisation(images, train.images)}
        | more
        for seed, (images, requested, more) in zip(seeds, drawn, strict=True)
    ]
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
        protocol.summarize(found, floors),
        {"python": platform.python_version()} | {name: version(name) for name in ("jaxgan", "jax", "numpy")},
    )


def _splits(name: str, data_dir: Path | None) -> tuple[Dataset, Dataset]:
    return tuple(data.load(name, split=split, data_dir=data_dir) for split in ("train", "test"))


def _require_samples(method: Method, config: Config) -> None:
    if method.sample is None:
        raise UserError(f"a run of {config.kind} draws no images, so there is nothing to evaluate by features")


def requested_labels(method: Method, count: int) -> Int[np.ndarray, " count"] | None:
    """The classes that the samples of :func:`drawer` are asked to be of; None if they are of none in particular."""
    if method.sampled_labels is None:
        return None
    return np.resize(np.asarray(method.sampled_labels(DRAWN_AT_ONCE)), count)  # each part begins anew
