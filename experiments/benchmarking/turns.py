"""Timing competitors that take turns."""

import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarking.processors import busy_seconds

Run = Callable[[int], None]  # does a thing so many times and waits for the last

ENOUGH = 0.2  # of a turn that a trial must take to tell how long a turn is
GROWTH = 8  # times as many things in the next trial, at most


class Turn(NamedTuple):
    """What one turn showed."""

    rate: float  # things a second
    others: float | None  # how many of this process's CPUs other programs took; None if unknown


def timed(run: Run, count: int) -> Turn:
    """Does a thing so many times and times it."""
    busy, own, start = busy_seconds(), time.process_time(), time.perf_counter()
    run(count)
    taken, own = time.perf_counter() - start, time.process_time() - own
    return Turn(count / taken, None if busy is None else max(0.0, busy_seconds() - busy - own) / taken)


def count_for(run: Run, seconds: float) -> int:
    """Finds how many times a thing is done in so many seconds, without taking much longer than that to find out.

    Args:
      run: the function, warmed up.
      seconds: length of a turn.

    Returns:
      The count, at least 1.
    """
    count = 1
    while True:
        rate = timed(run, count).rate
        if count >= ENOUGH * seconds * rate:
            return max(1, math.ceil(rate * seconds))
        count = min(GROWTH * count, math.ceil(2 * ENOUGH * seconds * rate))


def take_turns(
    runs: Mapping[str, Run], *, repeats: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, list[float | None]]]:
    """Times functions that do a thing so many times, one after the other, again and again.

    Args:
      runs: the functions, warmed up.
      repeats: turns of each.
      seconds: length of a turn, about; one thing may take longer.

    Returns:
      By function and turn: things a second; and how many of this process's CPUs other programs took, None if unknown.
    """
    counts = {name: count_for(run, seconds) for name, run in runs.items()}
    turns = [{name: timed(run, counts[name]) for name, run in runs.items()} for _ in range(repeats)]
    return tuple({name: [turn[name][i] for turn in turns] for name in runs} for i in range(2))
