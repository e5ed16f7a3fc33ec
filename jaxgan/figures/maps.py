"""Maps of numbers with their values, heat maps, and scatter plots of latents by class."""

import math
from collections.abc import Mapping

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from jaxgan.figures.style import STYLE, WIDTH, bare


def number_maps(maps: Mapping[str, Float[np.ndarray, "height width"]], *, title: str) -> Figure:
    """Draws small maps of integers side by side, with the value of each cell as text."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + WIDTH / len(maps)))
        figure.suptitle(title)
        widths = [math.sqrt(values.shape[1]) for values in maps.values()]
        grid = figure.subplots(1, len(maps), squeeze=False, width_ratios=widths)[0]
        for axes, (label, values) in zip(grid, maps.items(), strict=True):
            reach = np.abs(values).max()
            axes.imshow(values, cmap="RdBu", vmin=-1.6 * reach, vmax=1.6 * reach)  # pale colors keep the text legible
            for (row, column), value in np.ndenumerate(values):
                size = 34 / values.shape[0] ** 0.75
                axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=min(size, 11))
            axes.set_title(label, fontsize=9)
            bare(axes)
        return figure


def heat_maps(maps: Mapping[str, Float[np.ndarray, "height width"]], *, title: str) -> Figure:
    """Draws maps of values in [0, 1] side by side, as shades of grey."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + WIDTH / len(maps)))
        figure.suptitle(title, fontsize=11)
        for axes, (label, values) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
            axes.imshow(values, cmap="gray", vmin=0, vmax=1)
            axes.set_title(label, fontsize=10)
            bare(axes)
        return figure


def latent_plane(points: Float[np.ndarray, "n 2"], labels: Int[np.ndarray, " n"], *, title: str) -> Figure:
    """Draws the codes of images in the plane of two latents, colored by class."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.85 * WIDTH))
        axes = figure.subplots()
        for label in np.unique(labels):
            chosen = labels == label
            axes.plot(
                *points[chosen].T, ".", markersize=3, color=matplotlib.colormaps["tab10"](label % 10), label=str(label)
            )
        axes.set(title=title, xlabel="$z_1$", ylabel="$z_2$")
        axes.legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3)
        return figure
