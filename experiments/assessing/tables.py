"""Tables in Markdown: numbers with as many digits as they deserve, and what they hold for."""

import datetime
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from benchmarking.processors import cpu_model, cpus

Number = Mapping[str, float | None]  # mean, deviation, floor


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """Writes a table.

    Args:
      columns: the headings.
      rows: the cells.
      words: how many columns from the left hold words; the others hold numbers, to the right.

    Returns:
      The table, with a line break at its end.
    """
    rule = ["---"] * words + ["--:"] * (len(columns) - words)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, rule, *rows))


def distance(value: float) -> str:
    """Writes a number that may be large or small, to three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def fraction(value: float) -> str:
    """Writes a number about 1, to three decimals."""
    return f"{value:.3f}"


def measured(number: Number, write: Any = distance) -> str:
    """Writes the mean of a metric, with its deviation where there is one."""
    return write(number["mean"]) + ("" if number["deviation"] is None else f" ± {number['deviation']:.2g}")


def about(features: str) -> dict[str, str]:
    """Describes what numbers hold for: the date, the machine and the versions.

    Args:
      features: version of the feature network.

    Returns:
      The parts of a header by name.
    """
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {version(name)}" for name in ("jax", "flax", "jaxgan")]
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{cpu_model()}, {len(cpus())} cores, {platform.system()}",
        "versions": f"{', '.join(versions)}, feature network {features}",
    }


def header(parts: Mapping[str, str]) -> str:
    """Writes what numbers hold for, above a table."""
    return "".join(f"- {name}: {value}\n" for name, value in parts.items())
