"""The report of an accelerator: a table per measurement, for each card; and its rows as JSON, to which runs add."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from studies import machine
from studies.chip.worker import Row
from studies.markdown import details, document, number, table
from studies.training import METRICS

from jaxgan.errors import UserError
from jaxgan.runs.workdir import write_atomically

FOLDED = 16  # rows from which a table is folded


class Table(NamedTuple):
    """A table of the report."""

    part: str
    heading: str
    text: str


TABLES = {
    "agreement": Table(
        "right",
        "Steps beside the CPU",
        "A reference run on the CPU in float32, its products in full precision. Equal weights: from each of its states "
        "the accelerator takes one step; the largest difference over the steps. After: the accelerator takes all steps "
        "on its own, and Adam turns the sign of a tiny gradient into a whole step. Metrics: the largest relative "
        "difference of one (below 0.01, relative to 0.01). Gradients and weights: ||a - b|| / ||b||, all networks "
        "together. Precisions are of products: float32 in full, default (TF32 on NVIDIA cards, bfloat16 on TPUs), and "
        "`--compute-dtype bfloat16`.",
    ),
    "convolutions": Table(
        "right",
        "The adjoint pair",
        "In float32, products in full precision. Adjoint: the largest difference of <C(x, w), y>, <x, T(y, w)> and "
        "<w, W(x, y)>, over ||C(x, w)|| ||y||. First and second: derivatives beside XLA's own on the CPU in float64, "
        "||a - b|| / ||b||.",
    ),
    "front ends": Table("right", "pmap and shard_map beside jit", "One step; differences as above."),
    "same bytes": Table(
        "right",
        "The same bytes",
        "Two epochs of 6,400 images, in two processes, each with an empty cache of compiled programs. Bytes: the "
        "beginning of the SHA-256 of the final state. Again: a second time in the process. Resumed: from the "
        "checkpoint of the first epoch.",
    ),
    "ceilings": Table("fast", "What the card can do", "A product of matrices of 8,192 rows, and a copy of 1 GiB."),
    "speed": Table(
        "fast",
        "Steps per second",
        "Programs of one row take turns in one process; medians. FLOP are those of the program before optimization, "
        "bytes those of the optimized one, as XLA counts them. The percentages are of the ceilings above. MB: "
        "arguments and temporary memory of the program. PyTorch: float32 without TF32, default with it, bfloat16 by "
        "autocast.",
    ),
    "flags": Table("fast", "Flags of XLA", "jaxgan alone, medians of turns."),
    "forms": Table("fast", "Forms of convolution", "jaxgan alone, its convolutions in three forms, in turns."),
    "calls": Table(
        "fast",
        "Length of a call",
        "The loop that every recipe runs, with other lengths of a call. Calls also end with each epoch.",
    ),
    "first steps": Table("fast", "From the command to the first step", "With an empty cache of programs, then again."),
    "quality": Table(
        "good",
        "Recipes to their end",
        "Training seconds leave out compilation, evaluations and figures; those of the run have them. Evaluated about "
        "eight times. Distance on CPU: of the [quality report](../quality/report.md). Seconds to that: of training, "
        "until an evaluation is at most 1.1 times that.",
    ),
    "problems": Table("", "Without a result", ""),
}


def read(path: Path) -> dict[str, Any]:
    """Reads what earlier calls measured; raises UserError if the file is no such thing."""
    if not path.exists():
        return {"cards": {}, "done": [], "rows": []}
    try:
        found = json.loads(path.read_text())
        return {"cards": dict(found["cards"]), "done": list(found["done"]), "rows": list(found["rows"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--out: {str(path)!r} holds no results of this study ({error!r}); name another") from error


def add(results: dict[str, Any], card: str, row: Row) -> None:
    """Adds a row; one of the same key gets the new values."""
    for known in results["rows"]:
        if (known["card"], known["table"], known["key"]) == (card, row.table, dict(row.key)):
            known["values"] |= row.values
            return
    results["rows"].append({"card": card, "table": row.table, "key": dict(row.key), "values": dict(row.values)})


def forget_problem(results: dict[str, Any], card: str, task: str) -> None:
    """Drops why a task had no result."""
    same = {"card": card, "table": "problems", "key": {"task": task}}
    results["rows"] = [row for row in results["rows"] if any(row[name] != value for name, value in same.items())]


def write(results: Mapping[str, Any], out: Path) -> Path:
    """Writes the report and its rows into an existing folder."""
    write_atomically(out / "results.json", json.dumps(results, indent=1, default=float) + "\n")
    write_atomically(out / "report.md", markdown(results))
    return out / "report.md"


def markdown(results: Mapping[str, Any]) -> str:
    """Writes the report as Markdown; what was not measured is left out."""
    blocks = ["# On accelerators"]
    for card, about in results["cards"].items():
        blocks += [f"## {card}", f"{about['machine']}; `{about['command']}`"]
        rows = [row for row in results["rows"] if row["card"] == card]
        for name, (_, heading, text) in TABLES.items():
            if mine := [row for row in rows if row["table"] == name]:
                written = table_of(with_shares(mine, rows) if name == "speed" else mine)
                blocks += [
                    f"### {heading}",
                    text,
                    details(f"{len(mine)} rows", written) if len(mine) >= FOLDED else written,
                ]
    return document(*blocks)


def with_shares(rows: list[dict[str, Any]], all_rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds what part of the ceilings each program reaches."""
    ceilings = {row["key"]["ceiling"]: row["values"] for row in all_rows if row["table"] == "ceilings"}
    shared = []
    for row in rows:
        values = dict(row["values"])
        for unit, ceiling in (("TFLOP/s", f"matrix product, {row['key']['precision']}"), ("GB/s", "copy")):
            if unit in values and ceiling in ceilings:
                values[f"% of {'product' if unit == 'TFLOP/s' else 'copy'}"] = (
                    100 * values[unit] / ceilings[ceiling][unit]
                )
        shared.append({**row, "values": values})
    return shared


def table_of(rows: list[dict[str, Any]]) -> str:
    """Writes rows with a column for each name in them."""
    keys, names = (list(dict.fromkeys(name for row in rows for name in row[part])) for part in ("key", "values"))
    cells = [
        [*(row["key"].get(key) for key in keys), *(cell(row["values"].get(name)) for name in names)] for row in rows
    ]
    header = [*keys, *(METRICS.get(name, name) for name in names)]
    words = {name for row in rows for name, value in row["values"].items() if isinstance(value, str)}
    return table(header, cells, "l" * len(keys) + "".join("l" if name in words else "r" for name in names))


def cell(value: Any) -> Any:
    """Writes a number as reports do."""
    return number(value) if isinstance(value, float) else value


def about(found: Mapping[str, Any]) -> dict[str, str]:
    """What the report says of a card and this call."""
    return {"machine": found["machine"], "command": machine.command()}
