"""The commands to look at runs: what there is, their figures, a page about them, and two beside each other."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape

from jaxgan.data_commands import PICTURES
from jaxgan.errors import UserError, require_target

Workdir = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="WORKDIR")]


def draw_figures(workdir: Workdir) -> None:
    """Draw the figures of a run again, from its metrics, its samples and its newest checkpoint.

    Args:
        workdir: The run's folder.
    """
    from jaxgan.runs.launch import redraw
    from jaxgan.runs.mirror import local_copy

    for path in redraw(local_copy(workdir)):
        print(path)


def list_runs(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = Path("runs"),
) -> None:
    """List the runs in a folder: method, data, progress, size on disk, last metric, and whether they can go on.

    Args:
        folder: Where the runs are, however deep.
    """
    from jaxgan.runs import overview

    found = overview.find_runs(folder)
    Console().print(overview.table(found, root=folder) if found else f"There is no run in {escape(str(folder))}.")


def report_runs(
    workdirs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="WORKDIR|NAME...")],
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Write a page about one or more runs, in one HTML file that needs neither network nor server.

    Args:
        workdirs: The runs' folders, or names of trained generators, such as r3gan; several stand side by side.
        out: The file to write; default: report.html in WORKDIR, or NAME.html; report.html here if there are several.
    """
    from jaxgan.report.page import write_report
    from jaxgan.runs.load import is_pretrained
    from jaxgan.runs.mirror import local_copy

    if not workdirs:
        raise UserError("WORKDIR: missing; give the folder of a run, or of several")
    workdirs = tuple(map(local_copy, workdirs))
    usual = (workdirs[0] if len(workdirs) == 1 else Path()) / "report.html"
    if len(workdirs) == 1 and is_pretrained(workdirs[0]):
        usual = Path(f"{workdirs[0]}.html")
    out = _target(out, usual, suffixes=(".html", ".htm"), mark=b'name="generator" content="jaxgan')
    for note in write_report(workdirs, out):
        print(note)
    print(out)


def compare_runs(
    first: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")],
    second: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B")],
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Compare two runs: the fields in which they differ, their last metrics, and a picture of curves and samples.

    Args:
        first: A run's folder, or the name of a trained generator, such as r3gan.
        second: Another one.
        out: The picture to write, as .png, .pdf, .eps or .ps; default: compare.png here.
    """
    from jaxgan.report.compare import compare
    from jaxgan.runs.mirror import local_copy

    out = _target(out, Path("compare.png"), suffixes=PICTURES, mark=b"jaxgan compare")
    for table in compare(local_copy(first), local_copy(second), out):
        if table.row_count:
            Console().print(table)
    print(out)


def _target(out: Path | None, usual: Path, *, suffixes: Sequence[str], mark: bytes) -> Path:
    """Chooses the file to write, before any work: the user's, or the usual one unless it lacks the mark of ours."""
    if out is not None:
        require_target("--out", out, usual=usual.name, suffixes=suffixes)
    elif os.path.lexists(usual) and not (usual.is_file() and mark in usual.read_bytes()[:2000]):
        raise UserError(f"--out: {str(usual)!r} exists and is none of jaxgan's; name the file to write")
    return out or usual


VIEW_COMMANDS = {"runs": list_runs, "figures": draw_figures, "report": report_runs, "compare": compare_runs}
