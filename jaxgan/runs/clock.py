"""Goodput: the time of a run by kind of work, and its speed."""

import math
import time
from collections.abc import Sequence

WORK: Sequence[str] = ("steps", "compile", "input", "log", "evaluation", "checkpoint")  # drawing samples counts as log


class Clock:
    """Measures the time of a run by kind of work, and its speed without compilation and evaluation."""

    def __init__(self) -> None:
        self.compiled = False
        self._seconds, self._steps, self._since = dict.fromkeys(WORK, 0.0), 0, time.perf_counter()

    def lap(self, work: str) -> float:
        """Adds the seconds since the last lap to a kind of work, and returns them."""
        seconds, self._since = time.perf_counter() - self._since, time.perf_counter()
        self._seconds[work] += seconds
        return seconds

    def called(self, steps: int) -> None:
        """Records the end of a call of the program; the first call compiles it."""
        self.lap("steps" if self.compiled else "compile")
        self._steps += steps * self.compiled
        self.compiled = True

    @property
    def steps_per_second(self) -> float:
        """The speed; 0 until it is known."""
        seconds = sum(self._seconds[work] for work in WORK if work not in ("compile", "evaluation"))
        return self._steps / seconds if self._steps else 0.0

    def steps_in(self, seconds: float) -> int:
        """Returns how many steps take about this many seconds; one until the speed is known."""
        return max(1, math.ceil(self.steps_per_second * seconds))

    @property
    def shares(self) -> dict[str, float]:
        """The share of each kind of work in the time so far, by name."""
        total = sum(self._seconds.values())
        return {work: round(seconds / total, 6) for work, seconds in self._seconds.items()}
