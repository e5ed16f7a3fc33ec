"""Markdown: tables, folded details, and blocks joined into a report. Every function returns text for `document`."""

import html
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

RULES = {"l": "---", "r": "---:", "c": ":---:"}


def table(header: Sequence[str], rows: Iterable[Sequence[object]], align: str | None = None) -> str:
    """Writes a table.

    Args:
      header: the headings.
      rows: the cells; None leaves a cell empty.
      align: one letter per column, "l", "r" or "c". None: the first column left, the others right.

    Returns:
      The table, without a line break at its end.

    Raises:
      ValueError: if a row or ``align`` has another length than the header.
    """
    align = align or "l" + "r" * (len(header) - 1)
    rules = [RULES[letter] for letter in align]
    return "\n".join(_line(row, len(header)) for row in (header, rules, *rows))


def _line(row: Sequence[object], columns: int) -> str:
    if len(row) != columns:
        raise ValueError(f"a row of {len(row)} cells in a table of {columns} columns: {row!r}")
    cells = ("" if cell is None else " ".join(str(cell).split()).replace("|", "\\|") for cell in row)
    return f"| {' | '.join(cells)} |"


def details(summary: str, body: str) -> str:
    """Folds a block of Markdown: a reader sees the summary, plain text, and opens the body with a click."""
    return f"<details>\n<summary>{html.escape(summary, quote=False)}</summary>\n\n{body.strip()}\n\n</details>"


def code(text: str, language: str = "") -> str:
    """Writes a block of code."""
    fence = "````" if "```" in text else "```"
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def bullets(items: Iterable[str]) -> str:
    """Writes a list, one item per line."""
    return "\n".join(f"- {item}" for item in items)


def document(*blocks: str) -> str:
    """Joins blocks by empty lines into a report that ends with a line break, leaving out empty blocks."""
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def number(value: float) -> str:
    """Writes three digits, or the whole part of a number that has more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def relink(text: str, *, home: Path, folder: Path) -> str:
    """Rewrites links that lead out of the folder a report is written for, so that they work from another folder.

    Args:
      text: the report.
      home: the folder that its links start from.
      folder: the folder that it is saved in.

    Returns:
      The report with the links of that folder.
    """
    return re.sub(r"\]\((\.\./[^)]+)\)", lambda link: f"]({os.path.relpath(home / link[1], folder)})", text)
