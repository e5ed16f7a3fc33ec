"""The report of an accelerator: a table per measurement and device, and a JSON file of rows that later runs extend."""

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

FOLDED = 16  # tables with at least this number of rows are folded


class Table(NamedTuple):
    """A table of the report."""

    part: str
    heading: str
    text: str


TABLES = {
    "agreement": Table(
        "right",
        "Steps compared with the CPU",
        "The reference is a run on the CPU in float32, with full-precision products. Equal weights: the accelerator "
        "takes one step from each state of the reference; the largest difference over all steps. After: the "
        "accelerator takes all steps from the start; Adam turns the sign of a tiny gradient into a whole step. "
        "Metrics: the largest relative difference (for values below 0.01, relative to 0.01). Gradients and weights: "
        "||a - b|| / ||b|| over all networks. Precision of products: full float32, default (TF32 on NVIDIA GPUs, "
        "bfloat16 on TPUs), and `--compute-dtype bfloat16`.",
    ),
    "convolutions": Table(
        "right",
        "The adjoint pair",
        "In float32, with full-precision products. Adjoint: the largest difference between <C(x, w), y>, "
        "<x, T(y, w)> and <w, W(x, y)>, divided by ||C(x, w)|| ||y||. First and second: ||a - b|| / ||b|| of "
        "derivatives relative to XLA's derivatives on the CPU in float64.",
    ),
    "front ends": Table("right", "pmap and shard_map compared with jit", "One step; differences as above."),
    "same bytes": Table(
        "right",
        "Reproducibility",
        "Two epochs of 6,400 images, in two processes, each with an empty compilation cache. Bytes: the first digits "
        "of the SHA-256 of the final state. Again: repeated in the same process. Resumed: from the checkpoint of the "
        "first epoch.",
    ),
    "ceilings": Table("fast", "Peak performance", "A product of square matrices with 8,192 rows, and a copy of 1 GiB."),
    "speed": Table(
        "fast",
        "Steps per second",
        "Programs of one row take turns in one process; medians. XLA counts FLOP before optimization and bytes after "
        "optimization. Percentages are relative to the peak performance above. MB: arguments and temporary memory of "
        "the program. PyTorch: float32 without TF32, default with TF32, bfloat16 by autocast.",
    ),
    "flags": Table("fast", "XLA flags", "Only jaxgan, medians of turns."),
    "forms": Table("fast", "Forms of convolution", "Only jaxgan, with convolutions in three forms, in turns."),
    "calls": Table(
        "fast",
        "Length of a call",
        "The training loop of all recipes, with different lengths of a call. Calls also end with each epoch.",
    ),
    "first steps": Table(
        "fast",
        "From the command to the first step",
        "With an empty compilation cache, then with the filled cache.",
    ),
    "quality": Table(
        "good",
        "Complete recipes",
        "Training seconds exclude compilation, evaluations and figures; run seconds include them. Evaluated about "
        "eight times. Distance on CPU: from the [quality report](../quality/report.md). Seconds to that: training "
        "seconds until an evaluation is at most 1.1 times the distance on CPU.",
    ),
    "problems": Table("", "Without a result", ""),
}


def read(path: Path) -> dict[str, Any]:
    """Reads the results of earlier calls; raises UserError if the file has another format."""
    if not path.exists():
        return {"cards": {}, "done": [], "rows": []}
    try:
        found = json.loads(path.read_text())
        return {"cards": dict(found["cards"]), "done": list(found["done"]), "rows": list(found["rows"])}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--out: {str(path)!r} has no results of this study ({error!r}); choose another") from error


def add(results: dict[str, Any], card: str, row: Row) -> None:
    """Adds a row; values are merged into an existing row with the same key."""
    for old in results["rows"]:
        if (old["card"], old["table"], old["key"]) == (card, row.table, dict(row.key)):
            old["values"] |= row.values
            return
    results["rows"].append({"card": card, "table": row.table, "key": dict(row.key), "values": dict(row.values)})


def forget_problem(results: dict[str, Any], card: str, task: str) -> None:
    """Drops the row that says why a task had no result."""
    problem = {"card": card, "table": "problems", "key": {"task": task}}
    results["rows"] = [row for row in results["rows"] if any(row[name] != value for name, value in problem.items())]


def write(results: Mapping[str, Any], out: Path) -> Path:
    """Writes the report and its rows to an existing folder."""
    write_atomically(out / "results.json", json.dumps(results, indent=1, default=float) + "\n")
    write_atomically(out / "report.md", markdown(results))
    return out / "report.md"


def markdown(results: Mapping[str, Any]) -> str:
    """Formats the report as Markdown, without tables that were not measured."""
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
    """Adds the percentage of the peak performance that each program reaches."""
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
    """Formats rows as a table with a column per name."""
    keys, names = (list(dict.fromkeys(name for row in rows for name in row[part])) for part in ("key", "values"))
    cells = [
        [*(row["key"].get(key) for key in keys), *(cell(row["values"].get(name)) for name in names)] for row in rows
    ]
    header = [*keys, *(METRICS.get(name, name) for name in names)]
    texts = {name for row in rows for name, value in row["values"].items() if isinstance(value, str)}
    return table(header, cells, "l" * len(keys) + "".join("l" if name in texts else "r" for name in names))


def cell(value: Any) -> Any:
    """Formats a number."""
    return number(value) if isinstance(value, float) else value


def about(found: Mapping[str, Any]) -> dict[str, str]:
    """Describes the machine and the command for the report."""
    return {"machine": found["machine"], "command": machine.command()}
