"""Compares two runs: config fields that differ, last metrics, curves and samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.markup import escape
from rich.table import Column, Table

from jaxgan import figures
from jaxgan.config import Config
from jaxgan.errors import UserError, writing
from jaxgan.report.page import names_of
from jaxgan.report.sheets import MOST_SAMPLES, Images
from jaxgan.report.tables import config_fields, last_metrics
from jaxgan.runs.load import LoadedRun, draw, is_pretrained, load_run, named_as_a_folder, require_run
from jaxgan.runs.pretrained import manifest
from jaxgan.runs.tracking import Row, going_replicas, read_rows, read_samples
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime.devices import enable_compilation_cache
from jaxgan.runtime.numerics import fixed_numerics

MARK = "jaxgan compare"  # title in the metadata of the figure, which identifies it
IGNORED = {"workdir", "mirror"}  # fields that always differ


class Compared(NamedTuple):
    """One of the two runs."""

    config: Config
    rows: list[Row]  # of metrics; empty for a pretrained generator
    last: Mapping[str, float]  # last value of each metric
    loaded: LoadedRun | None  # None without a checkpoint
    saved: Images | None  # the last samples in the workdir


@fixed_numerics()
def compare(first: Path, second: Path, out: Path) -> list[Table]:
    """Compares two runs, and draws both in one figure.

    Args:
      first: the workdir of a run, or the name of a pretrained generator.
      second: the other run.
      out: the figure to write.

    Returns:
      Tables of the config fields that differ, and of the last values of shared metrics.

    Raises:
      UserError: if a folder holds no run, both are the same, or they have nothing in common to draw.
    """
    names = names_of([first, second])
    enable_compilation_cache()
    runs = {name: _read(folder) for name, folder in zip(names, (first, second), strict=True)}
    of_first, of_second = (run.last for run in runs.values())
    shared = [name for name in of_first if name in of_second]
    drawn = shared if all(run.rows for run in runs.values()) else []
    samples, caption = _samples(runs)
    if not drawn and not samples:
        raise UserError(f"{' and '.join(map(repr, names))}: there is nothing to draw, they share no metric")
    panels = figures.compared_panels({name: run.rows for name, run in runs.items()}, names=drawn)
    figure = figures.comparison(panels, samples, title=" and ".join(names), caption=caption)
    with writing("--out", out):
        figures.save(figure, out, Title=MARK)
    return [
        _table("field", names, _differing([run.config for run in runs.values()])),
        _table("last value of", names, [(name, f"{of_first[name]:.4g}", f"{of_second[name]:.4g}") for name in shared]),
    ]


def _read(folder: Path) -> Compared:
    if is_pretrained(folder):
        loaded = load_run(folder)
        return Compared(loaded.config, [], manifest()[str(folder)]["quality"], loaded, None)
    workdir = Workdir(folder)
    with named_as_a_folder():
        config, rows = require_run(workdir), read_rows(workdir.metrics)
        replica = next(iter(going_replicas(rows)), None)
        saved = read_samples(workdir, replica)
    try:
        loaded = load_run(folder, replica=replica)
    except UserError:  # without a checkpoint, saved samples may still exist
        loaded = None
    return Compared(config, rows, last_metrics(rows), loaded, saved[max(saved)] if saved else None)


def _samples(runs: dict[str, Compared]) -> tuple[dict[str, Images], str]:
    """Returns samples and a caption: of the same latents if the priors agree, otherwise the last saved or new ones."""
    loaded = [run.loaded for run in runs.values() if run.loaded]
    generators = [run.method.generator(run.state) for run in loaded if run.method.generator]
    priors = {(made.latent_size, made.prior.name, made.truncation) for made in generators}
    alike, saved = len(priors) == 1, all(run.saved is not None for run in runs.values())
    if len(generators) == len(runs) and (alike or not saved):
        drawn = {name: draw(run, count=MOST_SAMPLES)[0] for name, run in zip(runs, loaded, strict=True)}
        return drawn, "Samples of the same latents" if alike else "Samples, not of the same latents"
    last = {name: run.saved[:MOST_SAMPLES] for name, run in runs.items() if run.saved is not None}
    return last, "The last saved samples, not of the same latents"


def _differing(configs: Sequence[Config]) -> list[tuple[str, ...]]:
    return [
        (field.name, *("-" if value is None else value for value in field.values))
        for field in config_fields(configs)
        if field.differs and field.name not in IGNORED
    ]


def _table(what: str, names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    columns = [Column(escape(name), overflow="fold", justify="right") for name in names]
    made = Table(what, *columns, box=box.SIMPLE)
    for row in rows:
        made.add_row(*map(escape, row))
    return made
