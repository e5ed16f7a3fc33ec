"""The commands of ``jaxgan data``: list, show and prepare data sets."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from jaxtyping import UInt8
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from jaxgan import data
from jaxgan.errors import UserError, require_target, writing

Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]

PICTURES = (".eps", ".pdf", ".png", ".ps")  # of figures
MOST_ROWS = 100  # of a figure with one row per class


def list_data(data_dir: Folder = None) -> None:
    """List the data sets, where they are prepared, and their sources.

    Args:
        data_dir: Root folder of prepared data sets; if omitted: TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    descriptions = [data.describe(name, data_dir=data_dir) for name in data.names()]
    root = descriptions[0].directory.parents[1]
    where = Column("prepared in", overflow="fold")
    table = Table("name", "images", "licence", where, "from", box=box.SIMPLE, title=escape(f"Data sets in {root}"))
    for entry in descriptions:
        images = f"{sum(entry.spec.examples.values()):,}"
        state = str(entry.directory.relative_to(root)) if entry.state == "prepared" else entry.state
        table.add_row(entry.spec.name, images, entry.spec.licence, escape(state), ", ".join(entry.sources))
    Console().print(table)


def show_data(
    name: Name,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    split: Literal["train", "test"] = "train",
    columns: int | None = None,
    image_size: int | None = None,
    data_dir: Folder = None,
) -> None:
    """Draw images of every class of a data set.

    Args:
        name: Data set, see `jaxgan data list`; or the path of your own pictures.
        out: Figure to write, .png, .pdf, .eps or .ps; if omitted: NAME-SPLIT.png.
        split: Split to draw from.
        columns: Images per class; if omitted: 12, or fewer if a class has fewer images.
        image_size: Height and width to crop and resize your own pictures to.
        data_dir: Root folder of prepared data sets; if omitted: TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    if out is not None:
        require_target("--out", out, usual="samples.png", suffixes=PICTURES)
    title = Path(name).name
    if not data.is_path(name):
        spec = data.describe(name, data_dir=data_dir).spec
        if len(spec.class_names) > MOST_ROWS:
            way_out = f"choose {spec.parts!r}, which it is made of"
            raise UserError(f"NAME: {name!r} has too many classes for one row each, {way_out}")
        title = spec.title
    samples = data.load(name, split=split, data_dir=data_dir, image_size=image_size)
    if len(samples.class_names) > MOST_ROWS:
        raise UserError(f"NAME: {name!r} has {len(samples.class_names)} classes, too many for one row each")
    # Matplotlib is slow to import, and no other data command needs it.
    from jaxgan import figures

    figure = figures.class_samples(
        first_of_each_class(samples, columns=columns),
        class_names=samples.class_names,
        title=f"{title}, {split} split",
    )
    out = Path(f"{data.key(name)}-{split}.png") if out is None else out
    with writing("--out", out):
        figures.save(figure, out)
    print(out)


def prepare_data(
    name: Name,
    source: Annotated[Path | None, tyro.conf.arg(name="from", metavar="DIR")] = None,
    data_dir: Folder = None,
) -> None:
    """Prepare a data set, so that runs need neither its source nor a network.

    Args:
        name: Data set, see `jaxgan data list`.
        source: Folder of its four IDX files, gzipped or not; if omitted: the files in the package, or else the network.
        data_dir: Root folder of prepared data sets; if omitted: TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    print(data.prepare(name, data_dir=data_dir, source=source))


def first_of_each_class(samples: data.Dataset, *, columns: int | None) -> UInt8[np.ndarray, "classes columns h w c"]:
    """Picks the first images of every class, for a figure with a row per class.

    Raises:
      UserError: if a class has fewer images.
    """
    smallest = int(np.bincount(samples.labels, minlength=len(samples.class_names)).min())
    if not smallest:
        raise UserError(f"NAME: {samples.name!r} has a class without images, which has no row to draw")
    columns = min(12, smallest) if columns is None else columns
    if not 1 <= columns <= smallest:
        raise UserError(f"--columns: {columns} is not allowed, classes of {samples.name} allow 1 to {smallest}")
    return np.stack(
        [samples.images[np.flatnonzero(samples.labels == label)[:columns]] for label in range(len(samples.class_names))]
    )


DATA_COMMANDS = {"list": list_data, "show": show_data, "prepare": prepare_data}
