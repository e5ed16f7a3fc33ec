"""Interleaved timing: programs take turns in one process, so that other load on the machine hits all of them alike."""

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from studies.machine import cpus

Train = Callable[[int], None]  # takes a number of steps and waits for the last

ENOUGH = 0.2  # fraction of a turn that a trial must take, to tell how many steps a turn has
GROWTH = 8  # most times as many steps in the next trial


class Turn(NamedTuple):
    """One turn of a program."""

    rate: float  # steps per second
    others: float | None  # how many of this process's CPUs other programs took; None if the system does not tell


def timed(train: Train, steps: int) -> Turn:
    """Takes steps and times them."""
    busy, own, start = busy_seconds(), time.process_time(), time.perf_counter()
    train(steps)
    seconds, own = time.perf_counter() - start, time.process_time() - own
    return Turn(steps / seconds, None if busy is None else max(0.0, busy_seconds() - busy - own) / seconds)


def steps_in(train: Train, seconds: float) -> int:
    """Finds how many steps fit into a turn, without taking much longer than a turn to find out.

    Args:
      train: the program, warmed up.
      seconds: length of a turn.

    Returns:
      The number of steps, at least 1.
    """
    steps = 1
    while True:
        rate = timed(train, steps).rate
        if steps >= ENOUGH * seconds * rate:
            return max(1, math.ceil(rate * seconds))
        steps = min(GROWTH * steps, math.ceil(2 * ENOUGH * seconds * rate))


def interleaved(programs: Mapping[str, Train], *, repeats: int, seconds: float) -> dict[str, dict[str, list[Any]]]:
    """Times programs one after the other, again and again.

    Args:
      programs: the programs by name, warmed up.
      repeats: turns of each.
      seconds: length of a turn, or of one step if that is longer.

    Returns:
      ``rates`` and ``others`` (see :class:`Turn`), each a list over turns by program.
    """
    steps = {name: steps_in(train, seconds) for name, train in programs.items()}
    turns = [{name: timed(train, steps[name]) for name, train in programs.items()} for _ in range(repeats)]
    return {
        "rates": {name: [turn[name].rate for turn in turns] for name in programs},
        "others": {name: [turn[name].others for turn in turns] for name in programs},
    }


def relative(rates: Sequence[float], others: Sequence[float]) -> float:
    """How many times as fast the first program is: the median over turns of the ratio within a turn."""
    return statistics.median(a / b for a, b in zip(rates, others, strict=True))


def crowding(others: Sequence[float | None]) -> float:
    """How many CPUs other programs took in the median turn; 0 where the system does not tell."""
    known = [taken for taken in others if taken is not None]
    return statistics.median(known) if known else 0.0


def busy_seconds() -> float | None:
    """How long this process's CPUs have been busy, for any program, since the system started; only Linux tells."""
    mine = {f"cpu{n}" for n in cpus()}
    try:
        rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        ticks = sum(int(row[i]) for row in rows if row[0] in mine for i in (1, 2, 3, 6, 7, 8))  # all but idle, waiting
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
