"""Two runs beside each other: the fields in which they differ, their last metrics, their curves and their samples."""

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

MARK = "jaxgan compare"  # the title of the picture, by which it is known
OF_NO_RUN = {"workdir", "mirror"}  # fields that always differ


class Compared(NamedTuple):
    """One of two runs."""

    config: Config
    rows: list[Row]  # none of a trained generator
    last: Mapping[str, float]  # metrics
    loaded: LoadedRun | None
    saved: Images | None  # its last samples


@fixed_numerics()
def compare(first: Path, second: Path, out: Path) -> list[Table]:
    """Compares the runs in two folders, and draws both in one picture.

    Args:
      first: a run's folder, or the name of a trained generator of the package.
      second: another one.
      out: the picture to write.

    Returns:
      Tables of the fields in which they differ, and of the last metrics that both have.

    Raises:
      UserError: if one of the folders holds no run, both are the same, or there is nothing to draw of both.
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
    except UserError:  # its samples may be there all the same
        loaded = None
    return Compared(config, rows, last_metrics(rows), loaded, saved[max(saved)] if saved else None)


def _samples(runs: dict[str, Compared]) -> tuple[dict[str, Images], str]:
    """Samples of both runs: of the same latents if their priors agree, else the last that each saved, or its own."""
    loaded = [run.loaded for run in runs.values() if run.loaded]
    drawing = [run.method.generator(run.state) for run in loaded if run.method.generator]
    priors = {(each.latent_size, each.prior.name, each.truncation) for each in drawing}
    alike, saved = len(priors) == 1, all(run.saved is not None for run in runs.values())
    if len(drawing) == len(runs) and (alike or not saved):
        drawn = {name: draw(run, count=MOST_SAMPLES)[0] for name, run in zip(runs, loaded, strict=True)}
        return drawn, "Samples of the same latents" if alike else "Samples, not of the same latents"
    last = {name: run.saved[:MOST_SAMPLES] for name, run in runs.items() if run.saved is not None}
    return last, "The last samples that each saved, not of the same latents"


def _differing(configs: Sequence[Config]) -> list[tuple[str, ...]]:
    return [
        (field.name, *("-" if value is None else value for value in field.values))
        for field in config_fields(configs)
        if field.differs and field.name not in OF_NO_RUN
    ]


def _table(what: str, names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    columns = [Column(escape(name), overflow="fold", justify="right") for name in names]
    made = Table(what, *columns, box=box.SIMPLE)
    for row in rows:
        made.add_row(*map(escape, row))
    return made
