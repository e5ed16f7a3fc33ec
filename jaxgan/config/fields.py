"""How a field of a config declares the values it takes."""

from dataclasses import field
from typing import Any

MOST = 2**20  # of anything that is counted: beyond it a number is a slip of the keyboard


def number(default: float | None, *, low: float = 1, high: float = MOST, open_high: bool = False) -> Any:
    """Declares a numeric field together with the closed (or half-open) interval it may lie in."""
    return field(default=default, metadata={"low": low, "high": high, "open_high": open_high})


def share(default: float) -> Any:
    """Declares a field that lies in [0, 1): a decay, a probability of being dropped."""
    return number(default, low=0, high=1, open_high=True)


def weight(default: float | None) -> Any:
    """Declares a field that is not negative: a learning rate, the weight of a penalty."""
    return number(default, low=0, high=float("inf"))
