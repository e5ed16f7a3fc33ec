"""How fast competitors are, and how cost grows with size."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxgan.figures.style import STYLE, WIDTH


def speeds(
    panels: Mapping[str, Mapping[str, Sequence[float]]], *, reference: str, title: str, columns: int = 1
) -> Figure:
    """Draws how fast competitors are: a bar at the median, a whisker from slowest to fastest turn.

    Args:
      panels: rates of each turn, by panel (a comparison, with a scale of its own) and competitor.
      reference: the competitor that the others are held against; their bars say how many times as fast it is.
      title: the figure's title.
      columns: panels in a row.

    Returns:
      The figure.
    """
    names = list(dict.fromkeys(name for rates in panels.values() for name in rates))
    rows = [list(panels.items())[i : i + columns] for i in range(0, len(panels), columns)]
    shown = [[name for name in names if any(name in rates for _, rates in row)] for row in rows]
    heights = [0.9 + 0.24 * len(some) for some in shown]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + sum(heights)))
        figure.suptitle(title)
        grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
        for row, some, all_axes in zip(rows, shown, grid, strict=True):
            for column, axes in enumerate(all_axes):
                axes.set_visible(column < len(row))
                axes.set_yticks(range(len(some)), some if column == 0 else [""] * len(some), fontsize=9)
            for (label, rates), axes in zip(row, all_axes, strict=False):
                for name in rates:
                    note = "" if name == reference else f", {reference} {_times(rates[reference], rates[name]):.1f}x"
                    _draw_speed(axes, some.index(name), rates[name], color=f"C{names.index(name) % 5}", note=note)
                axes.set_title(label, fontsize=10)
                axes.set_ylim(len(some) - 0.5, -0.5)
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


def scaling(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]], *, peak: float, title: str
) -> Figure:
    """Draws how the cost of a step grows, and under it how much arithmetic is done in a second.

    Args:
      panels: points (size, ms a step, GFLOP/s) by what the size is, which labels the axis, and by competitor.
      peak: GFLOP/s that the machine reaches at best.
      title: the figure's title.

    Returns:
      The figure. Sizes and milliseconds are on logarithmic scales, so that a power law is a straight line.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 5.4))
        figure.suptitle(title)
        grid = figure.subplots(2, len(panels), squeeze=False, sharex="col", sharey="row", height_ratios=[3, 2])
        for (label, curves), (above, below) in zip(panels.items(), grid.T, strict=True):
            for name, points in curves.items():
                sizes, milliseconds, gflops = zip(*points, strict=True)
                above.plot(sizes, milliseconds, marker="o", markersize=4, label=name)
                below.plot(sizes, gflops, marker="o", markersize=4)
            below.axhline(peak, color="black", linewidth=0.8, linestyle=":", label="large matrix product")
            above.set(xscale="log", yscale="log")
            below.set_xticks(sizes, [f"{size:g}" for size in sizes])
            below.set_xticks([], minor=True)
            below.set(xlabel=label, ylim=(0, None))
        grid[0, 0].set_ylabel("ms a step")
        grid[1, 0].set_ylabel("GFLOP/s")
        grid[0, 0].legend(fontsize=9)
        grid[1, 0].legend(fontsize=9, loc="lower right")
        return figure
