"""Whether both designs train alike: the same weights, digits and random numbers in both, loss by loss."""

import dataclasses
from typing import Any

import numpy as np
from benchmarking.competitors import CASES
from imperative import parity

from comparing.designs import Row
from comparing.options import Options
from comparing.processes import all_apart
from jaxgan import data
from jaxgan.data.order import epoch_order
from jaxgan.figures.trajectories import Pair

PRECISIONS = ("float64", "float32")
AFTER = (1, 10, 100)  # steps
DRAWN = {  # losses in the figure, by metric
    "discriminator_loss": "discriminator",
    "generator_loss": "generator",
    "negative_elbo": "negative ELBO",
}

Measured = dict[str, Any]


def measure(options: Options) -> Measured:
    """Trains every method side by side with its PyTorch twin, in double and in single precision.

    Args:
      options: which methods, how many steps, and on how many threads.

    Returns:
      By method and precision: see :func:`side_by_side`.
    """
    calls = [(method, precision, options) for method in options.methods for precision in PRECISIONS]
    found = iter(all_apart(side_by_side, calls, threads=options.threads))
    return {method: {precision: next(found) for precision in PRECISIONS} for method in options.methods}


def side_by_side(method: str, precision: str, options: Options) -> Measured:
    """Trains one method in both designs.

    Args:
      method: what trains, with the sizes of its recipe.
      precision: of all numbers.
      options: how many steps, on what, and on how many threads.

    Returns:
      ``losses`` (of the functional and of the imperative design at each step, by metric), ``apart`` (the largest
      relative difference of a loss at each step) and ``weights`` (the largest relative difference of an array of
      weights or statistics after the last one).
    """
    import torch

    torch.set_num_threads(options.threads)
    config = CASES[method].config
    images, size = data.load(config.run.data, data_dir=options.data_dir).images, config.run.batch_size
    order = epoch_order(len(images), seed=0, epoch=0)
    setting = parity.Setting(
        dataclasses.replace(config.method, ema_decay=0.0),
        batches=lambda step: images[order[step * size : (step + 1) * size]],
        steps=options.steps,
        precision=precision,
        looks=(options.steps,),
    )
    ours, theirs = parity.functional(setting), parity.imperative(setting)
    losses = [name for name in ours.metrics if "probability" not in name]
    growth = parity.growth(*({name: run.metrics[name] for name in losses} for run in (ours, theirs)))
    weights = parity.differences(ours.looks[options.steps], theirs.looks[options.steps])
    return {
        "losses": {name: [run.metrics[name].tolist() for run in (ours, theirs)] for name in losses},
        "apart": np.max(list(growth.values()), axis=0).tolist(),
        "weights": max(value for name, value in weights.items() if name.startswith("weight/")),
    }


def section(measured: Measured) -> str:
    """Writes what was found as Markdown."""
    lines = [
        "## The same training",
        "",
        "Both designs begin with the same weights, see the same MNIST batches and are given the same latents, dropout "
        "masks and shares. Largest relative difference of any loss in any of the first steps, and of any array of "
        "weights or batch statistics after the last one; the scale is the largest magnitude so far. What grows "
        "in single precision is rounding alone: the same programs in double precision stay together.",
        "",
        "![Losses of both designs, and their difference](trajectories.png)",
        "",
    ]
    steps = max((len(found["apart"]) for precisions in measured.values() for found in precisions.values()), default=0)
    marks = [n for n in AFTER if n < steps] + [steps]
    lines += [
        f"| method | precision | {' | '.join(_steps(n) for n in marks)} | weights after {_steps(steps)} |",
        "|---|---|" + "---:|" * (len(marks) + 1),
    ]
    for method, precisions in measured.items():
        for precision, found in precisions.items():
            worst = [f"{max(found['apart'][:n]):.1e}" for n in marks]
            lines.append(f"| {method} | {precision} | {' | '.join(worst)} | {found['weights']:.1e} |")
    return "\n".join([*lines, ""])


def summary(measured: Measured) -> list[Row]:
    """Answers how far losses of the two lie apart."""
    rows = []
    for precision in PRECISIONS:
        found = [precisions[precision]["apart"] for precisions in measured.values() if precision in precisions]
        if found:
            worst = f"at most {max(map(max, found)):.0e} apart"
            rows.append(
                Row(f"The same losses over {_steps(len(found[0]))}, {precision}?", worst, worst, "not measured")
            )
    return rows


def pairs(measured: Measured) -> dict[str, Pair]:
    """Chooses what the figure shows: losses in single precision, differences in both."""
    return {
        CASES[method].config.method.title: Pair(
            {
                name: tuple(precisions["float32"]["losses"][metric])
                for metric, name in DRAWN.items()
                if metric in precisions["float32"]["losses"]
            },
            {precision: found["apart"] for precision, found in precisions.items()},
        )
        for method, precisions in measured.items()
    }


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"
