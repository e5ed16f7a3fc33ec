"""Figures of the studies, in the style of `jaxgan.figures`: functions from numbers to Matplotlib figures."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from jaxgan.figures import STYLE, WIDTH

BROAD = {"linewidth": 4.0, "alpha": 0.35, "solid_capstyle": "butt"}  # so the thin line on top stays visible
THIN = {"linewidth": 0.9}


def quality(curves: Mapping[str, Sequence[tuple[float, float]]], *, floor: float, title: str) -> Figure:
    """Draws the Fréchet distance of samples over training time, a line per method.

    Args:
      curves: points (seconds, Fréchet distance) by method, in order of time; the last point is marked.
      floor: the Fréchet distance of real images.
      title: title of the figure.

    Returns:
      The figure, with logarithmic scales.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.6))
        figure.suptitle(title)
        axes = figure.subplots()
        for number, (name, points) in enumerate(curves.items()):
            seconds, distances = zip(*points, strict=True)
            dash = "--" if number >= 7 else "-"  # the style has seven colours
            axes.plot(seconds, distances, dash, marker=".", color=f"C{number % 7}", label=name)
            axes.plot(seconds[-1], distances[-1], marker="o", markersize=7, color=f"C{number % 7}")
        axes.axhline(floor, color="black", linewidth=0.8, linestyle=":")
        axes.annotate(
            f"floor: real images, {floor:.2g}",
            (0, floor),
            (4, 4),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=9,
        )
        axes.set(xscale="log", yscale="log", xlabel="seconds of training", ylabel="Fréchet distance")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)
        return figure


def distributions(panels: Mapping[str, Mapping[str, Sequence[float]]], *, title: str) -> Figure:
    """Draws cumulative distributions, the first of each panel in black.

    Args:
      panels: numbers by axis label and name; every panel has the same names.
      title: title of the figure.

    Returns:
      The figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.6))
        figure.suptitle(title)
        row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (axis, lines) in zip(row, panels.items(), strict=True):
            for number, (name, values) in enumerate(lines.items()):
                look = (
                    {"color": f"C{number % 7}", "linestyle": ("-", "--")[number // 7 % 2], "zorder": 2}
                    if number
                    else {}
                )
                axes.ecdf(values, label=name, **{"color": "black", "linestyle": ":", "zorder": 3} | look)
            axes.set_xlabel(axis)
        row[0].set_ylabel("share of images")
        figure.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
        return figure


def speeds(
    panels: Mapping[str, Mapping[str, Sequence[float]]], *, reference: str, title: str, columns: int = 1
) -> Figure:
    """Draws the speeds of programs: a bar at the median, a whisker from the slowest to the fastest turn.

    Args:
      panels: rates of all turns, by panel (with its own scale) and program.
      reference: program to compare with; the bars of the others show its speed-up over them.
      title: title of the figure.
      columns: panels per row.

    Returns:
      The figure.
    """
    names = list(dict.fromkeys(name for rates in panels.values() for name in rates))
    rows = [list(panels.items())[i : i + columns] for i in range(0, len(panels), columns)]
    shown = [[name for name in names if any(name in rates for _, rates in row)] for row in rows]
    heights = [0.9 + 0.24 * len(programs) for programs in shown]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + sum(heights)))
        figure.suptitle(title)
        grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
        for row, programs, all_axes in zip(rows, shown, grid, strict=True):
            for column, axes in enumerate(all_axes):
                axes.set_visible(column < len(row))
                axes.set_yticks(range(len(programs)), programs if column == 0 else [""] * len(programs), fontsize=9)
            for (label, rates), axes in zip(row, all_axes, strict=False):
                for name in rates:
                    note = "" if name == reference else f", {reference} {_times(rates[reference], rates[name]):.1f}x"
                    _draw_speed(axes, programs.index(name), rates[name], color=f"C{names.index(name) % 5}", note=note)
                axes.set_title(label, fontsize=10)
                axes.set_ylim(len(programs) - 0.5, -0.5)
                axes.set_xlim(0, 1.5 * max(max(turns) for turns in rates.values()))
                axes.xaxis.set_major_locator(MaxNLocator(4))
                axes.tick_params(axis="x", labelsize=8)
                axes.grid(False, axis="y")
                axes.set_axisbelow(True)
        figure.supxlabel("steps/s: median, slowest and fastest turn", fontsize=10)
        return figure


def _times(rates: Sequence[float], others: Sequence[float]) -> float:
    return float(np.median(np.divide(rates, others)))


def _draw_speed(axes: Axes, y: int, rates: Sequence[float], *, color: str, note: str) -> None:
    middle = float(np.median(rates))
    axes.barh(y, middle, 0.75, color=color)
    whiskers = [[middle - min(rates)], [max(rates) - middle]]
    axes.errorbar(middle, y, xerr=whiskers, color="black", linewidth=0.9, capsize=2)
    number = f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"
    axes.annotate(number + note, (max(rates), y), (5, 0), textcoords="offset points", va="center", fontsize=8)


class Pair(NamedTuple):
    """Two trajectories of the same training.

    Attributes:
      losses: a number per step of the first and of the second trajectory, by name.
      differences: the relative difference at each step, by precision.
    """

    losses: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    differences: Mapping[str, Sequence[float]]


def trajectories(pairs: Mapping[str, Pair], *, names: tuple[str, str], title: str) -> Figure:
    """Draws a column per pair of trajectories: both on one axis, and their difference on a logarithmic axis below.

    Args:
      pairs: pairs by title of the column.
      names: names of the first and the second trajectory.
      title: title of the figure.

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
    """Gives all logarithmic axes the same limits, and tick labels to the first only."""
    low, high = (choose(axes.get_ylim()[i] for axes in row) for i, choose in enumerate((min, max)))
    for axes in row:
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.tick_params(labelsize=8, labelleft=axes is row[0])


def _steps(values: Sequence[float]) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def _positive(values: Sequence[float]) -> np.ndarray:
    return np.where(np.asarray(values) > 0, values, np.nan)


class Outcome(NamedTuple):
    """The outcome of a right and a wrong program.

    Attributes:
      quantity: name of the drawn quantity.
      right: the quantity of the right program at each step.
      wrong: the quantity of the wrong program; empty if it raised an error.
      note: short description of the outcome.
    """

    quantity: str
    right: Sequence[float]
    wrong: Sequence[float]
    note: str


def outcomes(panels: Mapping[str, Mapping[str, Outcome]], *, columns: int, title: str) -> Figure:
    """Draws outcomes of mistakes: one panel per mistake and design, right and wrong on the same axis.

    Args:
      panels: outcomes by mistake and design; every mistake has the same designs.
      columns: mistakes per row.
      title: title of the figure.

    Returns:
      The figure.
    """
    designs = list(next(iter(panels.values())))
    rows = [list(panels.items())[i : i + columns] for i in range(0, len(panels), columns)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.7 + 1.5 * len(rows) * len(designs)))
        figure.suptitle(title)
        grid = figure.subplots(len(rows) * len(designs), columns, squeeze=False)
        for axes in grid.flat:
            axes.set_visible(False)
        for i, row in enumerate(rows):
            for (mistake, outcome), column in zip(row, grid[i * len(designs) :].T, strict=False):
                column[0].set_title(mistake, fontsize=10)
                for design, axes in zip(designs, column, strict=False):
                    _draw_outcome(axes, outcome[design])
            for design, axes in zip(designs, grid[i * len(designs) :, 0], strict=False):
                axes.set_ylabel(design, fontsize=9)
        lines = [Line2D([], [], color="C0", **BROAD), Line2D([], [], color="C1", **THIN)]
        figure.legend(lines, ["right", "wrong"], loc="outside lower center", ncols=2, fontsize=9)
        return figure


def _draw_outcome(axes: Axes, outcome: Outcome) -> None:
    axes.set_visible(True)
    axes.plot(_steps(outcome.right), outcome.right, color="C0", **BROAD)
    axes.plot(_steps(outcome.wrong), outcome.wrong, color="C1", **THIN)
    axes.set_xlabel(f"{outcome.quantity}, by step", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.margins(y=0.25)
    axes.tick_params(labelsize=7)
    axes.annotate(outcome.note, (0.97, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=8, color="C1")
