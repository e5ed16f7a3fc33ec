"""The commands that inspect runs: list them, redraw their figures, report on them, compare two."""

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
    """Redraw the figures of a run from its metrics, samples and newest checkpoint.

    Args:
        workdir: Folder or address of the run.
    """
    from jaxgan.runs.launch import redraw
    from jaxgan.runs.mirror import local_copy

    for path in redraw(local_copy(workdir)):
        print(path)


def list_runs(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = Path("runs"),
) -> None:
    """List the runs in a folder: method, data, progress, size on disk, last metric, and whether they can resume.

    Args:
        folder: Folder to search, with all its subfolders.
    """
    from jaxgan.runs import overview

    runs = overview.find_runs(folder)
    Console().print(overview.table(runs, root=folder) if runs else f"There is no run in {escape(str(folder))}.")


def report_runs(
    workdirs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="WORKDIR|NAME...")],
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Write an HTML report about one or more runs, in one file that needs neither network nor server.

    Args:
        workdirs: Folders or addresses of runs, or names of pretrained generators, such as r3gan, to show side by side.
        out: HTML file to write; if omitted: report.html in WORKDIR, or NAME.html; ./report.html for several.
    """
    from jaxgan.report.page import write_report
    from jaxgan.runs.load import is_pretrained
    from jaxgan.runs.mirror import local_copy

    if not workdirs:
        raise UserError("WORKDIR: missing; give the folders of one or more runs")
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
    """Compare two runs: config fields that differ, last metrics, and a figure of curves and samples.

    Args:
        first: Folder or address of a run, or the name of a pretrained generator, such as r3gan.
        second: Another run or pretrained generator.
        out: Figure to write, .png, .pdf, .eps or .ps; if omitted: ./compare.png.
    """
    from jaxgan.report.compare import compare
    from jaxgan.runs.mirror import local_copy

    out = _target(out, Path("compare.png"), suffixes=PICTURES, mark=b"jaxgan compare")
    for table in compare(local_copy(first), local_copy(second), out):
        if table.row_count:
            Console().print(table)
    print(out)


def _target(out: Path | None, usual: Path, *, suffixes: Sequence[str], mark: bytes) -> Path:
    """Returns the file to write: ``out``, or the usual file unless it exists without the mark of jaxgan."""
    if out is not None:
        require_target("--out", out, usual=usual.name, suffixes=suffixes)
    elif os.path.lexists(usual) and not (usual.is_file() and mark in usual.read_bytes()[:2000]):
        raise UserError(f"--out: {str(usual)!r} exists and was not written by jaxgan; name the file to write")
    return out or usual


VIEW_COMMANDS = {"runs": list_runs, "figures": draw_figures, "report": report_runs, "compare": compare_runs}
