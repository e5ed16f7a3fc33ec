"""Lines of code by concern, in each design: counted by one rule, which :data:`RULE` states."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from comparing.concerns import CONCERNS, DEVICE_NAMES, DEVICES, OUTSIDE, TABLES
from comparing.designs import DESIGNS, FUNCTIONAL, NNX, PYTORCH, Row, designs_of, script
from comparing.options import Options
from comparing.source import Line, code_lines, has_run
from comparing.tracing import ROOT, Found, trace

RULE = """\
A line counts if it holds code: not a blank line, a comment, a docstring or an import. Both designs are formatted alike
(`ruff format`, 120 columns). A line belongs to the innermost function, method or class around it, and that to one
concern, by the table in `experiments/comparing/concerns.py`; only lines of the package that name devices or their axis
count as multi-device wherever they stand. *Ran* counts the lines that a real run of the script used, traced over two
epochs of eight steps on one CPU device, the second one resumed from the checkpoint of the first: a statement with all
its lines if it ran, a signature if the function did, a class's fields if an object of it was made. *There* counts all
lines of the files that had a part in that run. The data room, which both designs read, and the figures, which only the
recipes draw, count for neither."""

DONE_TOO = """\
The recipes do more in the same run than the twins: they measure held-out images, keep TensorBoard's events, show
networks and progress, save on Ctrl-C and refuse configs and folders that do not fit; and they have layers, initial
laws and noise of their own where the twins take those of their library. The package's lines serve all methods, on any
number of devices: *together* counts each line once that any of the methods ran. The twins are for one device; the
section on several devices counts the patch that they need."""
TOGETHER = "together"

FLAGS = {FUNCTIONAL: ("--devices", "1", "--platform", "cpu", "--checkpoint-every", "1"), PYTORCH: (), NNX: ()}


class Concern(NamedTuple):
    """A line's place in the table."""

    name: str
    row: tuple[str, str]  # file and pattern


def concern(file: str, line: Line, table: Mapping[str, Mapping[str, str]]) -> Concern:
    """Looks up what part of a program a line is.

    Args:
      file: its file.
      line: the line.
      table: for each file its patterns of qualified names, with their concerns.

    Returns:
      The concern, with the row of the table that says so.

    Raises:
      ValueError: if no row covers it.
    """
    found = next((row for row in table.get(file, {}).items() if fnmatchcase(line.owner, row[0])), None)
    if found is None:
        raise ValueError(f"no row of the table of concerns covers {line.owner} in {file}, line {line.number}")
    if file.startswith("jaxgan/") and line.names & DEVICE_NAMES:
        return Concern(DEVICES, (file, found[0]))
    return Concern(found[1], (file, found[0]))


@cache
def lines_of(path: Path) -> list[Line]:
    """Reads the lines of a file."""
    return code_lines(path.read_text())


def check(table: Mapping[str, Mapping[str, str]], root: Path = ROOT) -> None:
    """Holds a table against its files.

    Args:
      table: as for :func:`concern`.
      root: the project's folder.

    Raises:
      ValueError: if a definition is covered by no row, or a row covers nothing.
    """
    covering = {concern(file, line, table).row for file in table for line in lines_of(root / file)}
    idle = [
        row for file, patterns in table.items() for row in ((file, name) for name in patterns) if row not in covering
    ]
    if idle:
        raise ValueError(f"rows of the table of concerns that cover nothing: {idle}")


def count(found: Found, table: Mapping[str, Mapping[str, str]], root: Path = ROOT) -> dict[str, Counter]:
    """Counts the lines of a run by concern.

    Args:
      found: what ran.
      table: as for :func:`concern`.
      root: the project's folder.

    Returns:
      The lines that ``ran``, and those that are ``there`` in the files of which a part ran.
    """
    ran, there = Counter(), Counter()
    for file in sorted({*found.lines, *found.classes}):
        if file in table or not any(fnmatchcase(file, pattern) for pattern in OUTSIDE):
            hits, made = found.lines.get(file, set()), found.classes.get(file, set())
            for line in lines_of(root / file):
                name = concern(file, line, table).name
                there[name] += 1
                ran[name] += has_run(line, hits, made)
    return {"ran": ran, "there": there}


def merged(found: Sequence[Found]) -> Found:
    """Joins what several runs used."""

    def union(parts: Sequence[Mapping[str, set]]) -> dict[str, set]:
        files = {file for part in parts for file in part}
        return {file: set().union(*(part.get(file, ()) for part in parts)) for file in files}

    return Found(union([each.lines for each in found]), union([each.classes for each in found]))


def measure(options: Options) -> dict[str, Any]:
    """Runs each method in each design, and counts its lines.

    Args:
      options: which methods.

    Returns:
      By method, and for all of them together, what :func:`count` found of each design that all of these methods have.
    """
    found: dict[str, dict[str, Found]] = {}
    for method in options.methods:
        for design in designs_of(method):
            check(TABLES[design])
            found.setdefault(method, {})[design] = trace(script(design, method), FLAGS[design])
    counts = {
        method: {design: count(used, TABLES[design]) for design, used in of.items()} for method, of in found.items()
    }
    if len(found) > 1:
        complete = [design for design in DESIGNS if all(design in of for of in found.values())]
        joined = {design: merged([of[design] for of in found.values()]) for design in complete}
        counts[TOGETHER] = {design: count(used, TABLES[design]) for design, used in joined.items()}
    return counts


def section(measured: dict[str, Any]) -> str:
    """Writes the tables.

    Args:
      measured: from :func:`measure`.

    Returns:
      Markdown.
    """
    parts = ["## Lines of code by concern", RULE, DONE_TOO]
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in CONCERNS.items())
    parts.append(f"The concerns: {meanings}. The shortest design in each row is bold.")
    for method, counts in measured.items():
        parts += [f"### {method}", _table(counts)]
    return "\n\n".join(parts) + "\n"


def _table(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    heads = [f"{design}, {which}" for design in counts for which in ("ran", "there")]
    rows = [f"| concern | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for name in (*CONCERNS, "all"):
        found = {design: [_number(counts[design][which], name) for which in ("ran", "there")] for design in counts}
        fewest = min(ran for ran, _ in found.values())
        cells = [c for ran, there in found.values() for c in (f"**{ran}**" if ran == fewest else str(ran), str(there))]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _number(counts: Mapping[str, int], name: str) -> int:
    return sum(counts.values()) if name == "all" else counts.get(name, 0)


def summary(measured: dict[str, Any]) -> list[Row]:
    """Writes the rows of the report's first table.

    Args:
      measured: from :func:`measure`.

    Returns:
      Lines that ran for each method, and for all together.
    """
    rows = []
    for method, counts in measured.items():
        cells = [str(_number(counts[design]["ran"], "all")) if design in counts else "" for design in DESIGNS]
        rows.append(Row(f"lines of code that run, {method}", *cells))
    return rows
