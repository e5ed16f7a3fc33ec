"""One report from all parts: a summary first, then a section each, then what the numbers hold for."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarking.competitors import CASES

from comparing import speed, trajectories
from comparing.designs import DESIGNS, FUNCTIONAL, PYTORCH, Row
from jaxgan import figures
from jaxgan.errors import UserError

Results = Mapping[str, Any]  # what numbers.json holds: ``about`` and ``parts``
NUMBERS = "numbers.json"


def markdown(results: Results, parts: Mapping[str, ModuleType]) -> str:
    """Writes the report.

    Args:
      results: what was measured, by part.
      parts: the modules, in the order of the report.

    Returns:
      Markdown.
    """
    measured = {name: results["parts"][name] for name in parts if name in results["parts"]}
    rows = [row for name, found in measured.items() for row in parts[name].summary(found)]
    lines = [
        "# Functional and imperative design of the same programs",
        "",
        *_table(rows),
        "",
        *(parts[name].section(found) for name, found in measured.items()),
        "## What these numbers hold for",
        "",
        "| part | measured |",
        "|---|---|",
        *(f"| {name} | {results['about'][name]['date']}: `{results['about'][name]['command']}` |" for name in measured),
        "",
    ]
    machines = dict.fromkeys(
        f"- {key}: {text}"
        for name in measured
        for key, text in results["about"][name].items()
        if key not in ("date", "command")
    )
    return "\n".join([*lines, *machines, ""])


def _table(rows: list[Row]) -> list[str]:
    head = [f"| | {' | '.join(DESIGNS)} |", "|---|" + "---|" * len(DESIGNS)]
    return [*head, *(f"| {' | '.join(row)} |" for row in rows)]


def read(out: Path) -> dict[str, Any]:
    """Reads the numbers of earlier runs into a folder, by ``about`` and ``parts``; none if there are none.

    Args:
      out: the folder.

    Returns:
      The numbers.

    Raises:
      UserError: if the file is damaged.
    """
    path = out / NUMBERS
    try:
        found = json.loads(path.read_text()) if path.exists() else {"about": {}, "parts": {}}
        return {"about": dict(found["about"]), "parts": dict(found["parts"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--out: {str(path)!r} is damaged ({error!r}); delete it to start afresh") from error


def keep(results: Results, *, out: Path) -> Path:
    """Writes the numbers, at one stroke."""
    path = out / NUMBERS
    path.with_suffix(".new").write_text(json.dumps(results, indent=1) + "\n")
    return path.with_suffix(".new").replace(path)


def write(results: Results, parts: Mapping[str, ModuleType], *, out: Path) -> list[Path]:
    """Writes report, numbers and figures.

    Args:
      results: what was measured.
      parts: the modules, in the order of the report.
      out: an existing folder.

    Returns:
      The files written.
    """
    text = out / "report.md"
    text.write_text(markdown(results, parts))
    files = [text, keep(results, out=out)]
    if found := results["parts"].get("trajectories"):
        picture = figures.trajectories(
            trajectories.pairs(found), names=(FUNCTIONAL, PYTORCH), title="The same training in both designs"
        )
        files.append(figures.save(picture, out / "trajectories.png"))
    if found := results["parts"].get("speed"):
        panels = {}
        for method, turns in found["turns"].items():
            crowded = any(speed.crowding(others) > speed.CROWDED for others in turns["others"].values())
            panels[CASES[method].config.method.title + " (CPUs shared with others)" * crowded] = turns["rates"]
        title = f"Training steps per second, {found['threads']} thread{'s' * (found['threads'] > 1)}"
        picture = figures.speeds(panels, reference=FUNCTIONAL, columns=2, title=title)
        files.append(figures.save(picture, out / "speed.png"))
    return files
