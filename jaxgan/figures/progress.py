"""The progress of a run: a training curve beside samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from jaxgan.figures.curves import draw_panel, panels_of
from jaxgan.figures.images import show_rows
from jaxgan.figures.style import STYLE, WIDTH
from jaxgan.tiles import tile


def progress(
    rows: Sequence[Mapping[str, Any]],
    samples: Mapping[str, UInt8[np.ndarray, "columns height width channels"]],
    *,
    title: str,
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
