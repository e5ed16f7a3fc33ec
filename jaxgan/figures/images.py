"""Figures of images in grids and rows."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxgan.figures.curves import legend
from jaxgan.figures.style import STYLE, WIDTH, bare
from jaxgan.tiles import GAP, tile


def sample_rows(rows: Mapping[str, UInt8[np.ndarray, "columns height width channels"]], *, title: str) -> Figure:
    """Draws labelled rows with the same number of images."""
    images = np.concatenate(list(rows.values()))
    columns = len(images) // len(rows)
    sheet = tile(images, columns=columns)
    height, width, _ = sheet.shape
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + 0.87 * WIDTH * height / width))
        figure.suptitle(title)
        show_rows(figure.subplots(), sheet, labels=list(map(legend, rows)))
        return figure


def progression(
    sections: Mapping[str, Mapping[str, UInt8[np.ndarray, "columns height width channels"]]], *, title: str
) -> Figure:
    """Draws images of several methods: sections with headings, of labelled rows with the same number of images."""
    sheets = {
        heading: tile(np.concatenate(list(rows.values())), columns=len(next(iter(rows.values()))))
        for heading, rows in sections.items()
    }
    heights = [0.4 + 0.85 * WIDTH * sheet.shape[0] / sheet.shape[1] for sheet in sheets.values()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + sum(heights)))
        figure.suptitle(title)
        grid = figure.subplots(len(sections), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (heading, rows), sheet in zip(grid, sections.items(), sheets.values(), strict=True):
            axes.set_title(heading, loc="left", fontsize=11)
            show_rows(axes, sheet, labels=list(rows))
        return figure


def sample_grid(
    images: UInt8[np.ndarray, "count height width channels"], *, title: str, columns: int | None = None
) -> Figure:
    """Draws images as a grid, square by default."""
    with matplotlib.rc_context(STYLE):
        sheet = tile(images, columns=columns or math.isqrt(len(images)))
        figure = Figure(figsize=(WIDTH, WIDTH * sheet.shape[0] / sheet.shape[1] + 0.4))
        figure.suptitle(title)
        show_image(figure.subplots(), sheet)
        return figure


def class_samples(
    images: UInt8[np.ndarray, "classes columns height width channels"], *, class_names: Sequence[str], title: str
) -> Figure:
    """Draws images of a data set, with one row per class."""
    return sample_rows(dict(zip(class_names, images, strict=True)), title=legend(title))


def show_rows(axes: Axes, sheet: UInt8[np.ndarray, "height width channels"], *, labels: Sequence[str]) -> None:
    """Shows a sheet of images from :func:`tile`, with a label for each row."""
    show_image(axes, sheet)
    pitch = (len(sheet) + GAP) / len(labels)
    axes.set_yticks([(i + 0.5) * pitch - GAP / 2 for i in range(len(labels))], labels)
    axes.tick_params(length=0)


def show_image(axes: Axes, image: UInt8[np.ndarray, "height width channels"]) -> None:
    """Shows a grey or color image, without ticks."""
    axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
    bare(axes)
