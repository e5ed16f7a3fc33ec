"""Figures with the curves and samples of one run or of several."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from jaxgan.figures.curves import Panel, Rows, draw_grid, draw_panel, grid_height, legend, panels_of
from jaxgan.figures.images import show_image, show_rows
from jaxgan.figures.style import STYLE, WIDTH
from jaxgan.tiles import tile


def progress(
    rows: Rows, samples: Mapping[str, UInt8[np.ndarray, "columns height width channels"]], *, title: str
) -> Figure:
    """Draws the first panel of the training curves beside rows of samples from the same latents."""
    sheet = tile(np.concatenate(list(samples.values())), columns=len(next(iter(samples.values()))))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, max(3.2, 0.8 + 0.55 * WIDTH * sheet.shape[0] / sheet.shape[1])))
        figure.suptitle(title)
        left, right = figure.subplots(1, 2, width_ratios=(0.62, 1))
        for panel in panels_of(rows)[:1]:
            draw_panel(left, panel, rows)
        show_rows(right, sheet, labels=list(samples))
        return figure


def comparison(
    panels: Sequence[tuple[Panel, Rows]],
    samples: Mapping[str, UInt8[np.ndarray, "count height width channels"]],
    *,
    title: str,
    caption: str,
) -> Figure:
    """Draws the curves of runs, from :func:`compared_panels`, above their samples; either may be empty."""
    heights = [grid_height(panels)] * bool(panels) + [0.5 * WIDTH + 0.8] * bool(samples)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.3 + sum(heights)))
        figure.suptitle(legend(title))
        places = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        if panels:
            draw_grid(places[0], panels)
        if samples:
            places[-1].suptitle(caption, fontsize=11)
            grid = places[-1].subplots(1, len(samples), squeeze=False)[0]
            for axes, (name, images) in zip(grid, samples.items(), strict=True):
                show_image(axes, tile(images, columns=math.isqrt(len(images))))
                axes.set_title(legend(name))
        return figure
