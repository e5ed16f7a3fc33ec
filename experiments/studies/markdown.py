"""Markdown tables, folded details and code; `document` joins them into a report."""

import html
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

RULES = {"l": "---", "r": "---:", "c": ":---:"}


def table(header: Sequence[str], rows: Iterable[Sequence[object]], align: str | None = None) -> str:
    """Writes a table.

    Args:
      header: column headings.
      rows: cells; None leaves a cell empty.
      align: one letter per column, "l", "r" or "c". None: the first column left, the others right.

    Returns:
      The table, without a trailing line break.

    Raises:
      ValueError: if the length of a row or of ``align`` differs from the header.
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
    """Folds a block of Markdown under a summary in plain text."""
    return f"<details>\n<summary>{html.escape(summary, quote=False)}</summary>\n\n{body.strip()}\n\n</details>"


def code(text: str, language: str = "") -> str:
    """Writes a block of code."""
    fence = "````" if "```" in text else "```"
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def bullets(items: Iterable[str]) -> str:
    """Writes a list, one item per line."""
    return "\n".join(f"- {item}" for item in items)


def document(*blocks: str) -> str:
    """Joins the non-empty blocks by blank lines, with a line break at the end."""
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def number(value: float) -> str:
    """Formats a number with three significant digits, or as an integer from 100 on."""
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
