"""What was proved of each program, as a table for readers and as JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Results = Mapping[str, Any]  # what compile_for.json holds

CLAIMS = {
    "tpu": "Compiled by the TPU compiler, not run.",
    "cuda": "Compiled by XLA's CUDA compiler, not run; weaker than for TPU: kernels are not tuned to the chip, which "
    "takes one; XLA neither counts the operations of the compiled program nor says what runs on tensor cores; and the "
    "memory's time supposes that the cache keeps nothing from one kernel to the next, so that it is no least time.",
}
COLUMNS = ("recipe", "chips", "front end", "images a chip", "MFLOP", "arguments", "temporaries", "state aliased")
COLUMNS += ("sums over chips", "of them gradients", "products", "roofline", "kilocycles", "holds")
LEGEND = """\
For one chip, and for one step where not of the whole program. MFLOP: as XLA counts the program; where a step in so many
also trains the generator, one that does. Arguments and temporaries: in HBM, layouts' padding included; most of both are
the 47 MB of MNIST. State aliased: arrays of the state that the program writes over its own argument, of how many. Sums
over chips: all-reduce instructions, and the bytes that go in; the other bytes are statistics of batches and metrics.
There is no other exchange, but that between slices a chip sends its part of a sum, which the slice's chips then gather;
arrays are padded there. Products: convolutions and matrix products on the matrix unit, and in brackets products with a
vector that the compiler makes plain sums of. Roofline: the least time that the chip's published peaks leave a step, and
which of them does: operations, memory traffic, links between chips, or the network between slices. Kilocycles: what the
compiler itself expects its kernels to take, one after the other, without exchanges; networks so small leave a chip
mostly waiting."""


def table(rows: Sequence[Results]) -> list[str]:
    """Writes a Markdown table.

    Args:
      rows: what was found, a program each.

    Returns:
      Its lines.
    """
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|---|" + "---:|" * (len(COLUMNS) - 4) + "---|"]
    return lines + ["| " + " | ".join(_cells(row)) + " |" for row in rows]


def _cells(row: Results) -> list[str]:
    exchanges = ", ".join(f"{count} {kind}" for kind, count in sorted(row["collectives"].items()))
    crossings = f"; {row['crossings']} over slices, {megabytes(row['crossing_bytes'])}" if row["slices"] > 1 else ""
    times = row["roofline"]
    hosts = f", {row['hosts']} hosts" if row["hosts"] > 1 else ""
    apart = f" ({row['products_taken_apart']})" if row["products_taken_apart"] else ""
    return [
        row["recipe"],
        row["target"] + hosts,
        row["parallel"],
        str(row["batch_a_chip"]),
        f"{row['flops'] / 1e6:,.1f}",
        megabytes(row["argument_bytes"]),
        megabytes(row["temporary_bytes"]),
        f"{row['aliased']} of {row['state_arrays']}, {megabytes(row['aliased_bytes'])}",
        f"{exchanges}, {megabytes(row['collective_bytes'])}{crossings}" if exchanges else "none",
        megabytes(row["gradient_bytes"]) if exchanges else "",
        "unknown" if row["products"] is None else f"{row['products']}{apart}",
        f"{float(format(times['seconds'] * 1e6, '.2g')):g} µs, {times['bound']}",
        f"{row['cycles'] / 1e3:,.0f}" if row["cycles"] else "unknown",
        "no: " + "; ".join(row["failures"]) if row["failures"] else "yes",
    ]


def megabytes(count: float) -> str:
    """Writes a number of bytes."""
    return f"{count / 1e6:,.2f} MB"


def markdown(results: Results) -> str:
    """Writes the whole report.

    Args:
      results: ``about`` (texts), ``programs`` (a row each) and ``too_large`` (what compilers said of a program that no
        chip can hold, by target).

    Returns:
      Markdown.
    """
    about = "\n".join(f"- {name}: {text}" for name, text in results["about"].items())
    parts = ["# Programs for chips that are not here", about, LEGEND]
    for platform, claim in CLAIMS.items():
        if rows := [row for row in results["programs"] if row["platform"] == platform]:
            parts += [f"## {rows[0]['chip'].split()[0]}: {claim}", "\n".join(table(rows))]
    parts += ["## A program larger than memory"]
    parts += ["\n".join(f"- {target}: {said or 'NOT rejected'}" for target, said in results["too_large"].items())]
    return "\n\n".join(parts) + "\n"


def write(results: Results, *, out: Path) -> list[Path]:
    """Writes the report and the numbers.

    Args:
      results: see :func:`markdown`.
      out: a folder that exists.

    Returns:
      The files.
    """
    files = [out / "compile_for.md", out / "compile_for.json"]
    files[0].write_text(markdown(results), encoding="utf-8")
    files[1].write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return files
