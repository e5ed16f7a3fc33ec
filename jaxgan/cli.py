"""The ``jaxgan`` command: tools around the experiments.

A command is a function whose annotations are its flags and whose docstring is its help. To add one, write it and name
it in ``_commands``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from jaxtyping import UInt8
from rich import box
from rich.console import Console
from rich.table import Column, Table

from jaxgan import data
from jaxgan.errors import UserError, one_line_errors, parse

Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
      argv: the arguments without the program's name; default: those of the process.

    Raises:
      SystemExit: with code 2 if the user asked for something impossible.
    """
    with one_line_errors("jaxgan"):
        app = _commands()
        parse(lambda: app.cli(prog="jaxgan", description="Tools around the experiments.", args=argv))


def _commands() -> tyro.extras.SubcommandApp:
    app, data_group = tyro.extras.SubcommandApp(), tyro.extras.SubcommandApp()
    data_group.command(list_data, name="list")
    data_group.command(show_data, name="show")
    data_group.command(prepare_data, name="prepare")
    app.command(data_group, name="data", help="List, look at and prepare the data sets.")
    return app


def list_data(data_dir: Folder = None) -> None:
    """List the data sets: which are prepared, where, and what the others can be prepared from.

    Args:
        data_dir: Root of prepared data sets; without one, TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    about = [data.describe(name, data_dir=data_dir) for name in data.names()]
    root = about[0].directory.parents[1]
    where = Column("prepared in", overflow="fold")
    table = Table("name", "images", "licence", where, "from", box=box.SIMPLE, title=f"Data sets in {root}")
    for each in about:
        images = f"{sum(each.spec.examples.values()):,}"
        state = str(each.directory.relative_to(root)) if each.state == "prepared" else each.state
        table.add_row(each.spec.name, images, each.spec.licence, state, ", ".join(each.sources))
    Console().print(table)


def show_data(
    name: Name,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    split: Literal["train", "test"] = "train",
    columns: int = 12,
    data_dir: Folder = None,
) -> None:
    """Draw a figure with samples of every class.

    Args:
        name: The data set, as `jaxgan data list` names it.
        out: The picture to write; without one, NAME-SPLIT.png.
        split: The part to draw from.
        columns: Samples per class.
        data_dir: Root of prepared data sets; without one, TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    samples = data.load(name, split=split, data_dir=data_dir)
    # Matplotlib is slow to import, and no other command needs it.
    from jaxgan import figures

    figure = figures.class_samples(
        first_of_each_class(samples, columns=columns),
        class_names=samples.class_names,
        title=f"{data.describe(name).spec.title}, {split} split",
    )
    out = Path(f"{name}-{split}.png") if out is None else out
    figures.save(figure, out)
    print(out)


def prepare_data(
    name: Name,
    source: Annotated[Path | None, tyro.conf.arg(name="from", metavar="DIR")] = None,
    data_dir: Folder = None,
) -> None:
    """Prepare a data set, so that no run needs a source for it any more.

    Args:
        name: The data set, as `jaxgan data list` names it.
        source: Folder of its four IDX files, gzipped or not; without one, the package itself or else the network.
        data_dir: Root of prepared data sets; without one, TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    print(data.prepare(name, data_dir=data_dir, source=source))


def first_of_each_class(samples: data.Dataset, *, columns: int) -> UInt8[np.ndarray, "classes columns h w c"]:
    """Picks the first images of every class, for a figure with a row each.

    Args:
      samples: a labelled split.
      columns: how many images of each class.

    Returns:
      The images by class.

    Raises:
      UserError: if some class has fewer.
    """
    smallest = int(np.bincount(samples.labels, minlength=len(samples.class_names)).min())
    if not 1 <= columns <= smallest:
        raise UserError(f"--columns: {columns} is out of range, every class of {samples.name} allows 1 to {smallest}")
    return np.stack(
        [samples.images[np.flatnonzero(samples.labels == label)[:columns]] for label in range(len(samples.class_names))]
    )


if __name__ == "__main__":
    main()
