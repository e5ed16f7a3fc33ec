"""Training curves, with one panel per unit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from jaxgan.figures.style import STYLE, WIDTH
from jaxgan.terminal import encodable


class Panel(NamedTuple):
    """One panel of the training curves: its metrics, and an optional reference value."""

    title: str
    unit: str
    series: Mapping[str, str]  # the legend of each metric
    reference: tuple[float, str] | None = None  # a value and its legend
    logarithmic: bool = False


PANELS = (
    Panel(
        "Fréchet distance to the test images",
        "between features",
        {
            "frechet_distance": "samples",
            "class_frechet_distance": "samples, within classes",
            "floor_frechet_distance": "training images",
        },
        logarithmic=True,
    ),
    Panel(
        "Fidelity and diversity of samples",
        "share of images",
        {"precision": "precision", "recall": "recall", "density": "density", "coverage": "coverage"},
    ),
    Panel("Wasserstein estimate", "$E[f(x)] - E[f(G(z))]$", {"wasserstein_estimate": "estimate"}),
    Panel(
        "Negative ELBO and its terms",
        "nats per image",
        {
            "negative_elbo": "negative ELBO, training",
            "test_negative_elbo": "negative ELBO, held out",
            "reconstruction": "reconstruction, training",
            "test_reconstruction": "reconstruction, held out",
            "kl_divergence": "KL divergence, training",
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
        "loss",
        {
            "generator_loss": "generator",
            "discriminator_loss": "discriminator",
            "discriminator_loss_real": "discriminator, real",
            "discriminator_loss_fake": "discriminator, generated",
            "discriminator_loss_pair": "discriminator, pairs",
            "discriminator_loss_classification": "discriminator, classes",
            "gradient_penalty": "gradient penalty",
            "r1_penalty": "R1",
            "r2_penalty": "R2",
            "dragan_penalty": "DRAGAN",
        },
    ),
    Panel(
        "Discriminator probabilities",
        "mean probability of real",
        {
            "real_probability": "$D(x)$, real",
            "fake_probability": "$D(G(z))$, generated",
            "pair_probability": "the real one of a pair",
        },
        reference=(0.5, "undecided"),
    ),
    Panel(
        "Discriminator logits",
        "mean logit",
        {"real_logit": "$l(x)$, real", "fake_logit": "$l(G(z))$, generated"},
    ),
)


Rows = Sequence[Mapping[str, Any]]  # metrics by name, and the number of finished epochs as ``epoch``

AXES = {"step", "epoch", "replica", "diverged"}  # entries of a row that are not metrics
PANELS_PER_LINE = 3


def training_curves(rows: Rows, *, title: str) -> Figure:
    """Draws the metrics of a run over its epochs, with one panel per unit.

    Replicas appear as their mean, in a band from the smallest to the largest value. A metric that is not in ``PANELS``
    has a separate panel.
    """
    panels = [(panel, rows) for panel in panels_of(rows)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, grid_height(panels)))
        figure.suptitle(title)
        draw_grid(figure, panels)
        return figure


def grid_height(panels: Sequence[Any]) -> float:
    """Returns the height of a grid of panels, in inches."""
    return 0.3 + 3.6 * max(1, math.ceil(len(panels) / PANELS_PER_LINE))


def draw_grid(figure: FigureBase, panels: Sequence[tuple[Panel, Rows]]) -> None:
    """Draws a grid of panels in a figure or subfigure."""
    lines = max(1, math.ceil(len(panels) / PANELS_PER_LINE))
    columns = max(1, math.ceil(len(panels) / lines))
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (panel, rows) in zip(grid, panels, strict=False):
        draw_panel(axes, panel, rows)
    for axes in grid[max(1, len(panels)) :]:
        axes.set_visible(False)


def panels_of(rows: Rows) -> list[Panel]:
    """Chooses the panels for the metrics in rows, the most informative first.

    Returns:
      The panels of :data:`PANELS` with a metric in the rows, then one for each other metric and its ``test_`` twin.
    """
    names = metrics_of(rows)
    known = {name for panel in PANELS for name in panel.series}
    others = dict.fromkeys(name.removeprefix("test_") for name in names if name not in known)
    return [panel for panel in PANELS if panel.series.keys() & set(names)] + [
        Panel(name.replace("_", " ").capitalize(), name, {name: "training", f"test_{name}": "held out"})
        for name in others
    ]


def metrics_of(rows: Rows) -> list[str]:
    """Returns the names of the metrics in rows."""
    return [name for name in dict.fromkeys(name for row in rows for name in row) if name not in AXES]


def by_epoch(rows: Rows, name: str) -> dict[int | float, list[int | float]]:
    """Returns the values of a metric by epoch, several for replicas; not every row need have it."""
    points = {}
    for row in rows:
        if name in row:
            points.setdefault(row["epoch"], []).append(row[name])
    return points


def compared_panels(runs: Mapping[str, Rows], *, names: Sequence[str]) -> list[tuple[Panel, Rows]]:
    """Makes a panel for each metric, in the order of :data:`PANELS`, with a line for each run that has the metric."""
    panel_of = {name: panel for panel in PANELS for name in panel.series}
    panels = []
    for name in sorted(names, key=lambda name: list(panel_of).index(name) if name in panel_of else len(panel_of)):
        panel, text = panel_of.get(name), name.replace("_", " ")
        title = f"{panel.title}\n{panel.series[name]}" if panel and len(panel.series) > 1 else text.capitalize()
        series = {f"run {place}": legend(run) for place, run in enumerate(runs)}
        points = [
            {"epoch": row["epoch"], f"run {place}": row[name]}
            for place, rows in enumerate(runs.values())
            for row in rows
            if name in row
        ]
        drawn = Panel(title, text, series)
        panels.append((drawn if panel is None else panel._replace(title=title, series=series), points))
    return panels


def legend(text: str) -> str:
    """Escapes a name for Matplotlib, which parses dollars as formulas and hides labels with a leading underscore."""
    return (" " if text.startswith("_") else "") + encodable(text, "latin-1").replace("$", r"\$")


def single_panel(panel: Panel, rows: Rows) -> Figure:
    """Draws one panel as a separate figure."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.6 * WIDTH, 3.6))
        draw_panel(figure.subplots(), panel, rows)
        return figure


def draw_panel(axes: Axes, panel: Panel, rows: Rows) -> None:
    """Draws one panel, with a line for each metric."""
    for name, legend in panel.series.items():
        if points := by_epoch(rows, name):
            means = [sum(values) / len(values) for values in points.values()]
            (line,) = axes.plot(list(points), means, label=legend, marker="." if len(points) < 4 else "")
            if any(len(values) > 1 for values in points.values()):
                low, high = (list(map(end, points.values())) for end in (min, max))
                axes.fill_between(list(points), low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    if panel.reference:
        value, meaning = panel.reference
        axes.axhline(value, color="black", linewidth=0.8, linestyle=":", label=meaning)
        axes.set_ylim(0, 1)
    axes.set(title=panel.title, xlabel="epoch", ylabel=panel.unit)
    if panel.logarithmic:
        axes.set_yscale("log")
    elif all(row[name] >= 0 for row in rows for name in panel.series.keys() & row.keys()):
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=3.5, ncols=2)
