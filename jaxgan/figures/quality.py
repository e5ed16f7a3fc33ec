"""The quality of samples against what it took to get there."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from jaxgan.figures.style import STYLE, WIDTH


def quality(curves: Mapping[str, Sequence[tuple[float, float]]], *, floor: float, title: str) -> Figure:
    """Draws the Fréchet distance of samples over the seconds of training, a line for each method.

    Args:
      curves: points (seconds, Fréchet distance) in the order of time, by method; the last one is marked.
      floor: the Fréchet distance of real images.
      title: the figure's title.

    Returns:
      The figure, with both scales logarithmic.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.6))
        figure.suptitle(title)
        axes = figure.subplots()
        for number, (name, points) in enumerate(curves.items()):
            seconds, distances = zip(*points, strict=True)
            axes.plot(seconds, distances, marker=".", color=f"C{number % 7}", label=name)
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
