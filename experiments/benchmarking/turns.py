"""Timing competitors that take turns."""

import math
import time
from collections.abc import Callable, Mapping

from benchmarking.processors import busy_seconds

Run = Callable[[int], None]  # does a thing so many times and waits for the last


def take_turns(
    runs: Mapping[str, Run], *, repeats: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, list[float | None]]]:
    """Times functions that do a thing so many times, one after the other, again and again.

    Args:
      runs: the functions, warmed up.
      repeats: turns of each.
      seconds: length of a turn, about.

    Returns:
      By function and turn: things a second; and how many of this process's CPUs other programs took, None if unknown.
    """

    def turn(run: Run, count: int) -> tuple[float, float | None]:
        busy, own, start = busy_seconds(), time.process_time(), time.perf_counter()
        run(count)
        taken, own = time.perf_counter() - start, time.process_time() - own
        return count / taken, None if busy is None else max(0.0, busy_seconds() - busy - own) / taken

    counts = {name: max(1, math.ceil(turn(run, 50 if seconds >= 1 else 5)[0] * seconds)) for name, run in runs.items()}
    rates, others = {name: [] for name in runs}, {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            rate, crowd = turn(run, counts[name])
            rates[name].append(rate)
            others[name].append(crowd)
    return rates, others
