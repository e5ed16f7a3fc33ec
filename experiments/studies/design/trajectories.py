"""Compares the losses of both designs, trained with equal weights, images and random numbers."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from imperative import parity
from imperative.requirements import torch
from studies import figures, markdown

from jaxgan import data
from jaxgan.config import Config
from jaxgan.data.order import epoch_order

PRECISIONS = ("float64", "float32")
MARKS = (1, 10, 100)  # steps after which the table shows the difference of the losses
DRAWN = {  # losses in the figure, by metric
    "discriminator_loss": "discriminator",
    "generator_loss": "generator",
    "negative_elbo": "negative ELBO",
}

Measured = dict[str, Any]


def measure(configs: Mapping[str, Config], *, steps: int, data_dir: Path | None) -> dict[str, dict[str, Measured]]:
    """Trains every method beside its PyTorch twin in each precision; returns the results of :func:`side_by_side`."""
    torch.set_num_threads(1)
    found = {}
    for method, config in configs.items():
        images = data.load(config.run.data, data_dir=data_dir).images
        found[method] = {precision: side_by_side(config, images, precision, steps=steps) for precision in PRECISIONS}
    return found


def side_by_side(config: Config, images: np.ndarray, precision: str, *, steps: int) -> Measured:
    """Trains one method in both designs.

    Returns:
      ``losses``, of the functional and the imperative design at each step, by metric; ``apart``, the largest relative
      difference of a loss at each step; and ``weights``, the largest relative difference of an array of weights or
      statistics at the end.
    """
    size, order = config.run.batch_size, epoch_order(len(images), seed=0, epoch=0)
    setting = parity.Setting(
        dataclasses.replace(config.method, ema_decay=0.0),
        batches=lambda step: images[order[step * size : (step + 1) * size]],
        steps=steps,
        precision=precision,
        snapshots=(steps,),
    )
    ours, theirs = parity.functional(setting), parity.imperative(setting)
    losses = [name for name in ours.metrics if "probability" not in name]
    growth = parity.growth(*({name: run.metrics[name] for name in losses} for run in (ours, theirs)))
    weights = parity.differences(ours.snapshots[steps], theirs.snapshots[steps])
    return {
        "losses": {name: [run.metrics[name].tolist() for run in (ours, theirs)] for name in losses},
        "apart": np.max(list(growth.values()), axis=0).tolist(),
        "weights": max(value for name, value in weights.items() if name.startswith("weight/")),
    }


def table(found: Mapping[str, Mapping[str, Measured]]) -> str:
    """Formats the differences of the losses after the steps in `MARKS` and after all steps."""
    steps = len(next(iter(next(iter(found.values())).values()))["apart"])
    marks = [mark for mark in MARKS if mark < steps] + [steps]
    rows = [
        [method, precision, *(f"{max(run['apart'][:n]):.1e}" for n in marks), f"{run['weights']:.1e}"]
        for method, precisions in found.items()
        for precision, run in precisions.items()
    ]
    return markdown.table(
        ["method", "precision", *(f"to step {n}" for n in marks), "weights"], rows, "ll" + "r" * len(rows[0][2:])
    )


def largest(found: Mapping[str, Mapping[str, Measured]], precision: str) -> float:
    """Returns the largest relative difference of any loss in a precision."""
    return max(max(precisions[precision]["apart"]) for precisions in found.values())


def pairs(found: Mapping[str, Mapping[str, Measured]], titles: Mapping[str, str]) -> dict[str, figures.Pair]:
    """Selects data for :func:`studies.figures.trajectories`: losses in single precision, differences in both."""
    return {
        titles[method]: figures.Pair(
            {
                name: tuple(precisions["float32"]["losses"][metric])
                for metric, name in DRAWN.items()
                if metric in precisions["float32"]["losses"]
            },
            {precision: one["apart"] for precision, one in precisions.items()},
        )
        for method, precisions in found.items()
    }
