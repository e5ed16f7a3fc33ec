"""Writes an HTML page about runs, as one file that needs no network."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import jax
import jinja2

import jaxgan
from jaxgan import figures
from jaxgan.errors import UserError, writing
from jaxgan.figures import Panel
from jaxgan.report.collect import Collected, collect
from jaxgan.report.tables import config_fields, last_metrics
from jaxgan.runs import environment
from jaxgan.runs.tracking import Row
from jaxgan.runs.workdir import write_atomically
from jaxgan.runtime.devices import enable_compilation_cache

MOST = 12  # runs on a page
MOST_POINTS = 200  # of a curve, for the slider that shows its values
LARGEST = 10_000_000  # bytes of a page


def write_report(folders: Sequence[Path], out: Path) -> list[str]:
    """Writes a page about runs; returns notes on what is missing on the page, and why.

    Raises:
      UserError: if a folder holds no run, the page would be too large, or the file cannot be written.
    """
    if len(folders) > MOST:
        raise UserError(f"WORKDIR: {len(folders)} runs are not allowed, a page has room for {MOST}")
    names = names_of(folders)
    enable_compilation_cache()
    runs = [collect(folder, name=name, runs=len(folders)) for folder, name in zip(folders, names, strict=True)]
    text = render(runs)
    if len(text.encode()) > LARGEST:
        raise UserError(f"WORKDIR: a page of {len(folders)} runs with such large images would be too large, give fewer")
    with writing("--out", out):
        write_atomically(out, text)
    return [f"{run.name}: {note}" for run in runs for note in run.notes]


def names_of(folders: Sequence[Path]) -> list[str]:
    """Names runs after their folders, by full path if two names are equal; raises UserError if a folder is repeated."""
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"WORKDIR: {str(folder)!r} is given twice, give another run")
    last = [place.name for place in places]
    return [name if last.count(name) == 1 else str(folder) for name, folder in zip(last, folders, strict=True)]


def render(runs: Sequence[Collected]) -> str:
    """Renders the HTML page of one run, or of several side by side."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxgan.report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    metrics = [last_metrics(run.rows) for run in runs]
    return templates.get_template("page.html").render(
        runs=runs,
        title=", ".join(run.name for run in runs),
        curves=[_curve(number, *panel) for number, panel in enumerate(_panels(runs))],
        metrics={name: [found.get(name) for found in metrics] for name in dict.fromkeys(n for m in metrics for n in m)},
        fields=config_fields([run.config for run in runs]),
        environments=_environments(runs),
        version=jaxgan.__version__,
    )


def _environments(runs: Sequence[Collected]) -> dict[str, environment.Environment]:
    """Returns the environments of training and evaluation of the runs, and of this page."""
    found = {}
    for run in runs:
        for number, part in enumerate(run.environments, 1):
            found[f"training of {run.name}" + f", part {number}" * (len(run.environments) > 1)] = part
        if run.versions:
            found[f"evaluation of {run.name}"] = run.versions
    return found | {"this page": environment.describe(jax.devices()[:1])}


def _panels(runs: Sequence[Collected]) -> list[tuple[Panel, Sequence[Row]]]:
    """Returns one panel per metric that several runs share, then one panel per unit of the other metrics."""
    times = Counter(name for run in runs for name in figures.metrics_of(run.rows))
    shared = [name for name, count in times.items() if count > 1]
    panels = figures.compared_panels({run.name: run.rows for run in runs}, names=shared)
    for run in runs:
        rows = [{name: value for name, value in row.items() if name not in shared} for row in run.rows]
        for panel in figures.panels_of(rows):
            named = f"{panel.title}\n{figures.legend(run.name)}" if len(runs) > 1 else panel.title
            panels.append((panel._replace(title=named), rows))
    return panels


def _curve(number: int, panel: Panel, rows: Sequence[Row]) -> dict[str, Any]:
    """Returns a panel as SVG, its alternative text, and its values by epoch with their positions in percent."""
    series = {
        _plain(legend): {epoch: fmean(values) for epoch, values in found.items()}
        for name, legend in panel.series.items()
        if (found := figures.by_epoch(rows, name))
    }
    ends = []
    for legend, curve in series.items():
        values = list(curve.values())
        ends.append(f"{legend} from {values[0]:.4g} to {values[-1]:.4g}")
    figure = figures.single_panel(panel, rows)
    svg = figures.to_svg(figure, prefix=f"curve{number}-")
    box, (low, high) = figure.axes[0].get_position(), figure.axes[0].get_xlim()
    epochs = sorted(set().union(*series.values()))
    points = []
    for epoch in dict.fromkeys([*epochs[:: math.ceil(len(epochs) / MOST_POINTS)], epochs[-1]]):
        values = [f"{legend} {curve[epoch]:.4g}" for legend, curve in series.items() if epoch in curve]
        place = box.x0 + box.width * (epoch - low) / (high - low)
        points.append([round(100 * place, 2), f"Epoch {epoch:.4g}: {'; '.join(values)}"])
    words = f"{_plain(panel.title)} over the epochs: {'; '.join(ends)}"
    return {"svg": svg, "words": words, "points": points, "top": 100 * (1 - box.y1), "bottom": 100 * box.y0}


def _plain(text: str) -> str:
    """Removes the formula syntax from the text of a figure."""
    return re.sub(r"[$\\]", "", text.strip()).replace("\n", ", ")
