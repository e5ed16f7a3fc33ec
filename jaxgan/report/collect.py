"""Collects the content of a page about a run from its workdir; missing parts become notes on the page."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from jaxgan import methods
from jaxgan.config import Config
from jaxgan.data import Dataset, Stream
from jaxgan.errors import UserError
from jaxgan.evaluation import report as evaluations
from jaxgan.methods import Method
from jaxgan.report import sheets
from jaxgan.report.latents import draw_plane
from jaxgan.report.sheets import Sheet
from jaxgan.runs import pretrained
from jaxgan.runs.checkpoints import latest_step
from jaxgan.runs.console import Layer, layers
from jaxgan.runs.environment import Environment, recall
from jaxgan.runs.load import described, is_pretrained, load_run, named_as_a_folder, require_run
from jaxgan.runs.task import training_images
from jaxgan.runs.tracking import Row, going_replicas, read_rows, read_samples
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime.numerics import fixed_numerics

REDRAWN = ("training", "progress", "samples")  # figures of a run that the page shows in interactive form


class Plane(NamedTuple):
    """Images of a plane of latents, with a sheet for each class if the run is conditional."""

    side: int  # images along each side
    sheets: list[Sheet]


class Collected(NamedTuple):
    """The content of a page about a run."""

    name: str  # the name of the run on the page
    config: Config
    step: int | None  # of the newest checkpoint; None if there is none
    rows: list[Row]  # of metrics
    networks: dict[str, list[Layer]]  # the layers of each network
    frames: list[Sheet]  # samples of the same latents through training
    by_class: Sheet | None  # one row of samples per class; None if unconditional
    class_names: Sequence[str]  # of these rows
    plane: Plane | None  # None for methods without a generator
    figures: dict[str, str]  # data URIs of other figures in the workdir, by name
    evaluations: dict[str, Table]  # tables of metrics with their floor, by file name
    environments: list[Environment]  # of each part of the training, in order
    versions: Environment  # of the evaluation
    notes: list[str]  # what is missing on the page, and why


@fixed_numerics()
def collect(folder: Path, *, name: str, runs: int) -> Collected:
    """Reads a run, and draws its images for a page.

    Args:
      folder: the workdir of the run, or the name of a pretrained generator.
      name: the name of the run on the page.
      runs: number of runs on the page.

    Returns:
      The content of the page, as far as the run has it.

    Raises:
      UserError: if there is no run, or its config, metrics or samples are damaged.
    """
    workdir, notes = Workdir(folder), []
    shipped = pretrained.manifest()[str(folder)] if is_pretrained(folder) else None
    with named_as_a_folder():
        config = pretrained.read(str(folder))[0] if shipped else require_run(workdir)
        rows: list[Row] = [{"epoch": shipped["epochs"]}] if shipped else read_rows(workdir.metrics)
        image_shape, class_names = described(workdir, config)
        replica = next(iter(going_replicas(rows)), None)
        saved = read_samples(workdir, replica)
    if shipped:
        quality = ", ".join(f"{name} {value:.4g}" for name, value in shipped["quality"].items())
        notes.append(f"This generator comes with the package, trained by {shipped['command']}: {quality}.")
    run, method, training = None, None, None
    with noted(notes, "No images were drawn from the checkpoint"):
        method = methods.build(config.method, image_shape=image_shape, classes=len(class_names))
        run = load_run(folder, replica=replica)
    if replica is not None:
        notes.append(f"The images are from replica {replica}.")
    generator = run.method.generator(run.state) if run and run.method.generator else None
    if saved or generator:
        with noted(notes, "Nearest training images are not shown"):
            training = _training_images(config, image_shape)
    unit = "epoch"
    if run and generator and not saved:
        saved, unit = {run.step: run.sample(sheets.MOST_SAMPLES)}, "step"
    by_class, plane = None, None
    if run and generator:
        shown = np.arange(min(generator.classes, sheets.MOST_CLASSES))
        named = [class_names[label] for label in shown]
        if named:
            columns = sheets.columns_of_rows(image_shape, rows=len(shown), runs=runs)
            images = run.sample(columns * len(shown), labels=shown).reshape(columns, len(shown), *image_shape)
            by_row = np.swapaxes(images, 0, 1).reshape(-1, *image_shape)
            labels = np.repeat(named, columns)
            (by_class,) = sheets.sheets({"": by_row}, columns=columns, labels=labels, training=training)
        side = sheets.side_of_plane(image_shape, sheets=len(shown) or 1, runs=runs)
        drawn = dict(zip(named or [""], draw_plane(generator, side=side, labels=shown), strict=True))
        plane = Plane(side, sheets.sheets(drawn, columns=side, labels=None, training=None))
    tables, versions = _evaluations(folder, notes)
    return Collected(
        name,
        config,
        run.step if run else latest_step(workdir.checkpoints),
        rows,
        {
            name: layers(network, batch_size=config.run.batch_size)
            for name, network in (method.networks if method else {}).items()
        },
        _frames(saved, method, class_names, training, runs=runs, unit=unit),
        by_class,
        class_names,
        plane,
        _figures(workdir, {"classes"} if by_class else set(), notes, runs=runs),
        tables,
        recall(workdir),
        versions,
        notes,
    )


@contextlib.contextmanager
def noted(notes: list[str], what: str) -> Iterator[None]:
    """Turns a UserError inside the context into a note."""
    try:
        yield
    except UserError as error:
        notes.append(f"{what}: {error}.")


def _training_images(config: Config, image_shape: tuple[int, int, int]) -> Dataset:
    dataset = training_images(config.run)
    if isinstance(dataset, Stream):
        raise UserError(f"{config.run.data} is a stream")
    if dataset.image_shape != image_shape:
        raise UserError(f"{config.run.data} has changed since the run started")
    return dataset


def _frames(
    saved: dict[int, sheets.Images],
    method: Method | None,
    class_names: Sequence[str],
    training: Dataset | None,
    *,
    runs: int,
    unit: str,
) -> list[Sheet]:
    if not saved:
        return []
    chosen = sheets.choose_frames(saved, runs=runs)
    count = len(next(iter(chosen.values())))
    classes = method.classes if method else 0
    labels = [class_names[i % classes] for i in range(count)] if classes else None
    named = {f"{unit} {number}": images for number, images in chosen.items()}
    return sheets.sheets(named, columns=int(count**0.5), labels=labels, training=training)


def _figures(workdir: Workdir, skipped: set[str], notes: list[str], *, runs: int) -> dict[str, str]:
    found, room = {}, sheets.BYTES // runs
    for path in sorted(workdir.figures.glob("*.png")):
        if path.stem in {*REDRAWN, *skipped}:
            continue
        content = path.read_bytes()
        if len(content) > room:
            notes.append(f"{path.name} is not shown: the page would be too large.")
            continue
        room -= len(content)
        found[path.stem] = sheets.data_uri(content)
    return found


def _evaluations(folder: Path, notes: list[str]) -> tuple[dict[str, Table], dict[str, str]]:
    tables, versions = {}, {}
    for name in ("evaluation.json", "best_evaluation.json"):
        try:
            evaluation = evaluations.from_json((folder / name).read_text())
        except FileNotFoundError:
            continue
        except ValueError as error:
            notes.append(f"{name} is damaged ({error}).")
            continue
        tables[name] = evaluations.table(evaluation)
        versions = versions or dict(evaluation.versions)
    return tables, versions
