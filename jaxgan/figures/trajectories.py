"""Two courses of the same training on one axis, and how far they lie apart below."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from jaxgan.figures.style import STYLE, WIDTH

BROAD = {"linewidth": 4.0, "alpha": 0.35, "solid_capstyle": "butt"}  # so that the thin one is seen on top of it
THIN = {"linewidth": 0.9}


class Pair(NamedTuple):
    """Two trajectories of one training.

    Attributes:
      losses: a number for each step, of the first and of the second, by what it is.
      differences: the relative difference at each step, by precision.
    """

    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    differences: Mapping[str, Sequence[float]]


def trajectories(pairs: Mapping[str, Pair], *, names: tuple[str, str], title: str) -> Figure:
    """Draws pairs of trajectories, a column each: both on one axis, their difference on a logarithmic one below.

    Args:
      pairs: by the column's title.
      names: what the first and the second of each pair are.
      title: the figure's title.

    Returns:
      The figure. A difference of zero leaves a gap.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.9))
        figure.suptitle(title)
        grid = figure.subplots(2, len(pairs), squeeze=False, sharex=True)
        for (label, pair), (above, below) in zip(pairs.items(), grid.T, strict=True):
            _draw_losses(above, pair)
            above.set_title(label, fontsize=10)
            for i, values in enumerate(pair.differences.values()):
                below.plot(_steps(values), _positive(values), color=f"C{3 + i}", linewidth=1.1)
            below.set_yscale("log")
            below.set_xlabel("step")
        _share_limits(list(grid[1]))
        grid[0, 0].set_ylabel("loss")
        grid[1, 0].set_ylabel("relative difference")
        precisions = list(dict.fromkeys(name for pair in pairs.values() for name in pair.differences))
        lines = [Line2D([], [], color="black", **style) for style in (BROAD, THIN)]
        lines += [Line2D([], [], color=f"C{3 + i}") for i in range(len(precisions))]
        labels = [*names, *(f"difference in {precision}" for precision in precisions)]
        figure.legend(lines, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
        return figure


def _draw_losses(axes: Axes, pair: Pair) -> None:
    for i, (name, (first, second)) in enumerate(pair.losses.items()):
        axes.plot(_steps(first), first, color=f"C{i}", **BROAD)
        axes.plot(_steps(second), second, color=f"C{i}", **THIN, label=name)
    axes.legend(fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(labelsize=8)


def _share_limits(row: list[Axes]) -> None:
    """Gives all logarithmic axes the same limits, and numbers to the first only."""
    low, high = (choose(axes.get_ylim()[i] for axes in row) for i, choose in enumerate((min, max)))
    for axes in row:
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.tick_params(labelsize=8, labelleft=axes is row[0])


def _steps(values: Sequence[float]) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def _positive(values: Sequence[float]) -> np.ndarray:
    return np.where(np.asarray(values) > 0, values, np.nan)
