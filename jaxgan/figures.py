"""Every picture of the project, as functions from arrays to matplotlib figures, in one look."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 8.0  # inches; a README shows 8 inches at 150 dots an inch without scaling
DPI = 150
GAP = 2  # white pixels between images
STYLE = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=["#1f4e79", "#c0392b", "#7f8c8d", "#d68910", "#27694b"]),
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": DPI,
}


class Panel(NamedTuple):
    """One panel of the training curves: which metrics it shows, and the value they are held against."""

    title: str
    unit: str
    series: Mapping[str, str]  # the metric's name: its legend
    reference: tuple[float, str] | None = None


PANELS = (
    Panel("Wasserstein estimate", "$E[f(x)] - E[f(G(z))]$", {"wasserstein_estimate": "estimate"}),
    Panel(
        "Negative ELBO and its terms",
        "nats per image",
        {
            "negative_elbo": "negative ELBO, training",
            "test_negative_elbo": "negative ELBO, held out",
            "test_reconstruction": "reconstruction, held out",
            "test_kl_divergence": "KL divergence, held out",
        },
    ),
    Panel(
        "Squared error",
        "per pixel in [0, 1]",
        {
            "squared_error": "training",
            "test_squared_error": "held out",
            "test_pca_squared_error": "PCA, held out",
        },
    ),
    Panel("Cross-entropy", "nats per image", {"cross_entropy": "training", "test_cross_entropy": "held out"}),
    Panel(
        "Losses",
        "nats",
        {
            "generator_loss": "generator",
            "discriminator_loss": "discriminator",
            "discriminator_loss_real": "discriminator, real",
            "discriminator_loss_fake": "discriminator, generated",
            "gradient_penalty": "gradient penalty",
        },
    ),
    Panel(
        "Discriminator probabilities",
        "mean probability of real",
        {"real_probability": "$D(x)$, real", "fake_probability": "$D(G(z))$, generated"},
        reference=(0.5, "undecided"),
    ),
)


def training_curves(rows: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Draws the metrics of a run over its epochs, a panel for each unit.

    Args:
      rows: rows of metrics, with ``epoch`` as the epochs finished.
      title: the run's name.

    Returns:
      The figure. Metrics that no panel knows are left out.
    """
    known = {name for row in rows for name in row}
    panels = [panel for panel in PANELS if known & panel.series.keys()]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.9))
        figure.suptitle(title)
        for axes, panel in zip(figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels, strict=False):
            _draw_panel(axes, panel, rows)
        return figure


def _draw_panel(axes: Axes, panel: Panel, rows: Sequence[Mapping[str, Any]]) -> None:
    for name, legend in panel.series.items():
        if points := [(row["epoch"], row[name]) for row in rows if name in row]:  # some are measured once an epoch
            axes.plot(*zip(*points, strict=True), label=legend, marker="." if len(points) < 4 else "")
    if panel.reference:
        value, meaning = panel.reference
        axes.axhline(value, color="black", linewidth=0.8, linestyle=":", label=meaning)
        axes.set_ylim(0, 1)
    axes.set(title=panel.title, xlabel="epoch", ylabel=panel.unit)
    if all(row[name] >= 0 for row in rows for name in panel.series.keys() & row.keys()):
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)


def sample_rows(rows: Mapping[str, UInt8[np.ndarray, "columns height width channels"]], *, title: str) -> Figure:
    """Draws one row of images under another, each with its label.

    Args:
      rows: images as bytes, by label, equally many in each.
      title: the figure's title.

    Returns:
      The figure.
    """
    images = np.concatenate(list(rows.values()))
    columns = len(images) // len(rows)
    sheet = tile(images, columns=columns)
    height, width, _ = sheet.shape
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + 0.87 * WIDTH * height / width))
        figure.suptitle(title)
        _show_rows(figure.subplots(), sheet, labels=list(rows))
        return figure


def progression(
    sections: Mapping[str, Mapping[str, UInt8[np.ndarray, "columns height width channels"]]], *, title: str
) -> Figure:
    """Draws what several methods generate, one section under another, each with labelled rows of images.

    Args:
      sections: rows of images as bytes by label, by the section's heading; equally many images in every row.
      title: the figure's title.

    Returns:
      The figure.
    """
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
            _show_rows(axes, sheet, labels=list(rows))
        return figure


def sample_grid(
    images: UInt8[np.ndarray, "count height width channels"], *, title: str, columns: int | None = None
) -> Figure:
    """Draws many images as a grid.

    Args:
      images: images as bytes.
      title: the figure's title.
      columns: images a row; None for as many as there are rows.

    Returns:
      The figure.
    """
    with matplotlib.rc_context(STYLE):
        sheet = tile(images, columns=columns or math.isqrt(len(images)))
        figure = Figure(figsize=(WIDTH, WIDTH * sheet.shape[0] / sheet.shape[1] + 0.4))
        figure.suptitle(title)
        _show(figure.subplots(), sheet)
        return figure


def latent_plane(points: Float[np.ndarray, "n 2"], labels: Int[np.ndarray, "n"], *, title: str) -> Figure:
    """Draws where images lie in the plane of two latents, coloured by class.

    Args:
      points: one point an image.
      labels: class of each.
      title: the figure's title.

    Returns:
      The figure.
    """
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


def class_samples(
    images: UInt8[np.ndarray, "classes columns height width channels"], *, class_names: Sequence[str], title: str
) -> Figure:
    """Draws examples of a data set, a row for each class.

    Args:
      images: images as bytes, by class.
      class_names: the label of each row.
      title: the figure's title.

    Returns:
      The figure.
    """
    return sample_rows(dict(zip(class_names, images, strict=True)), title=title)


def number_maps(maps: Mapping[str, Float[np.ndarray, "height width"]], *, title: str) -> Figure:
    """Draws small maps side by side, with the value of each cell written in it.

    Args:
      maps: maps of whole numbers, by label.
      title: the figure's title.

    Returns:
      The figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + WIDTH / len(maps)))
        figure.suptitle(title)
        widths = [math.sqrt(values.shape[1]) for values in maps.values()]
        grid = figure.subplots(1, len(maps), squeeze=False, width_ratios=widths)[0]
        for axes, (label, values) in zip(grid, maps.items(), strict=True):
            reach = np.abs(values).max()
            axes.imshow(values, cmap="RdBu", vmin=-1.6 * reach, vmax=1.6 * reach)  # pale, so that the digits stand out
            for (row, column), value in np.ndenumerate(values):
                size = 34 / values.shape[0] ** 0.75
                axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=min(size, 11))
            axes.set_title(label, fontsize=9)
            _bare(axes)
        return figure


def heat_maps(maps: Mapping[str, Float[np.ndarray, "height width"]], *, title: str) -> Figure:
    """Draws maps of values in [0, 1] side by side as shades.

    Args:
      maps: values by label.
      title: the figure's title.

    Returns:
      The figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + WIDTH / len(maps)))
        figure.suptitle(title, fontsize=11)
        for axes, (label, values) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
            axes.imshow(values, cmap="gray", vmin=0, vmax=1)
            axes.set_title(label, fontsize=10)
            _bare(axes)
        return figure


def tile(
    images: UInt8[np.ndarray, "count height width channels"], *, columns: int, gap: int = GAP
) -> UInt8[np.ndarray, "rows cols channels"]:
    """Lays images out in a grid on white, row by row.

    Args:
      images: images as bytes.
      columns: images a row; a last row that is not full is left out.
      gap: white pixels between images.

    Returns:
      One image.
    """
    rows = len(images) // columns
    _, height, width, channels = images.shape
    grid = np.full((rows, columns, height + gap, width + gap, channels), 255, np.uint8)
    grid[:, :, :height, :width] = images[: rows * columns].reshape(rows, columns, height, width, channels)
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(rows * (height + gap), columns * (width + gap), channels)
    return sheet[:-gap, :-gap] if gap else sheet


def _show_rows(axes: Axes, sheet: UInt8[np.ndarray, "height width channels"], *, labels: Sequence[str]) -> None:
    _show(axes, sheet)
    pitch = (len(sheet) + GAP) / len(labels)
    axes.set_yticks([(i + 0.5) * pitch - GAP / 2 for i in range(len(labels))], labels)
    axes.tick_params(length=0)


def _show(axes: Axes, image: UInt8[np.ndarray, "height width channels"]) -> None:
    axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG, without the date and version that would make equal pictures differ."""
    with matplotlib.rc_context(STYLE):  # fonts are looked up only now
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


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
