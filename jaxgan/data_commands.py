"""The commands of ``jaxgan data``: the data sets that there are, what they look like, and how they are prepared."""

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

PICTURES = (".eps", ".pdf", ".png", ".ps")  # formats of figures
MOST_ROWS = 100  # of a figure with a row for each class


def list_data(data_dir: Folder = None) -> None:
    """List the data sets: the prepared ones with their folder, and the sources of the others.

    Args:
        data_dir: Root of prepared data sets; default: TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    about = [data.describe(name, data_dir=data_dir) for name in data.names()]
    root = about[0].directory.parents[1]
    where = Column("prepared in", overflow="fold")
    table = Table("name", "images", "licence", where, "from", box=box.SIMPLE, title=escape(f"Data sets in {root}"))
    for each in about:
        images = f"{sum(each.spec.examples.values()):,}"
        state = str(each.directory.relative_to(root)) if each.state == "prepared" else each.state
        table.add_row(each.spec.name, images, each.spec.licence, escape(state), ", ".join(each.sources))
    Console().print(table)


def show_data(
    name: Name,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    split: Literal["train", "test"] = "train",
    columns: int = 12,
    image_size: int | None = None,
    data_dir: Folder = None,
) -> None:
    """Draw samples of every class.

    Args:
        name: The data set; see `jaxgan data list`; or the path of pictures.
        out: The figure to write, as .png, .pdf, .eps or .ps; default: NAME-SPLIT.png.
        split: The split to draw from.
        columns: Samples per class.
        image_size: Height and width to crop and resize pictures to.
        data_dir: Root of prepared data sets; default: TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    if out is not None:
        require_target("--out", out, usual="samples.png", suffixes=PICTURES)
    title = Path(name).name
    if not data.is_path(name):
        spec = data.describe(name, data_dir=data_dir).spec
        if len(spec.class_names) > MOST_ROWS:
            way_out = f"choose {spec.parts!r}, which it is made of"
            raise UserError(f"NAME: {name!r} has too many classes for a row each, {way_out}")
        title = spec.title
    samples = data.load(name, split=split, data_dir=data_dir, image_size=image_size)
    if len(samples.class_names) > MOST_ROWS:
        raise UserError(f"NAME: {name!r} has {len(samples.class_names)} classes, too many for a row each")
    # Matplotlib is slow to import, and no other command needs it.
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
    """Prepare a data set, so that runs need no source for it.

    Args:
        name: The data set; see `jaxgan data list`.
        source: Folder of its four IDX files, gzipped or not; default: the package, or else the network.
        data_dir: Root of prepared data sets; default: TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    print(data.prepare(name, data_dir=data_dir, source=source))


def first_of_each_class(samples: data.Dataset, *, columns: int) -> UInt8[np.ndarray, "classes columns h w c"]:
    """Picks the first images of every class, for a figure with a row per class.

    Raises:
      UserError: if a class has fewer images.
    """
    smallest = int(np.bincount(samples.labels, minlength=len(samples.class_names)).min())
    if not smallest:
        raise UserError(f"NAME: {samples.name!r} has a class without images, there is no figure of every class")
    if not 1 <= columns <= smallest:
        raise UserError(f"--columns: {columns} is out of range, every class of {samples.name} allows 1 to {smallest}")
    return np.stack(
        [samples.images[np.flatnonzero(samples.labels == label)[:columns]] for label in range(len(samples.class_names))]
    )


DATA_COMMANDS = {"list": list_data, "show": show_data, "prepare": prepare_data}
