"""Rates of competitors, turn by turn, and what is made of them for tables."""

import statistics
from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Any]  # what benchmark.json holds
CROWDED = 0.1  # CPUs taken by other programs beyond which a comparison is not judged


def ratios(comparison: Results, *, ours: str) -> dict[str, float]:
    """Compares speeds turn by turn.

    Args:
      comparison: rates by competitor and turn.
      ours: the competitor that the others are held against.

    Returns:
      The median over turns of how many times as fast ours was, by competitor.
    """
    rates = comparison["rates"]
    return {
        name: statistics.median(a / b for a, b in zip(rates[ours], other, strict=True)) for name, other in rates.items()
    }


def crowding(comparison: Results, name: str) -> float:
    """How many of the CPUs other programs took in the median turn of a competitor; 0 where the system does not tell."""
    known = [taken for taken in comparison["others"][name] if taken is not None]
    return statistics.median(known) if known else 0.0


def in_words(threads: int) -> str:
    """A number of threads, in words."""
    return f"{threads} thread{'s' * (threads > 1)}"


def title(comparison: Results) -> str:
    """Names a comparison."""
    return f"{comparison['case']}, {in_words(comparison['threads'])}"


def short(value: float) -> str:
    """Three digits, or the whole part of what has more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")
