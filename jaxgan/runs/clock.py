"""Goodput: where the time of a run goes, by kind of work, and how fast it steps."""

import math
import time
from collections.abc import Sequence

WORK: Sequence[str] = ("steps", "compile", "input", "log", "evaluation", "checkpoint")  # drawing samples is log


class Clock:
    """Where the time of a run goes, by kind of work, and its speed without compiling and evaluating."""

    def __init__(self) -> None:
        self.compiled = False
        self._seconds, self._steps, self._since = dict.fromkeys(WORK, 0.0), 0, time.perf_counter()

    def lap(self, work: str) -> float:
        """Counts the seconds since the last lap, which it returns, as those of some work."""
        passed, self._since = time.perf_counter() - self._since, time.perf_counter()
        self._seconds[work] += passed
        return passed

    def called(self, steps: int) -> None:
        """Notes that a call of the program has ended; the first compiles it."""
        self.lap("steps" if self.compiled else "compile")
        self._steps += steps * self.compiled
        self.compiled = True

    @property
    def steps_per_second(self) -> float:
        """The speed; 0 as long as it is unknown."""
        seconds = sum(self._seconds[work] for work in WORK if work not in ("compile", "evaluation"))
        return self._steps / seconds if self._steps else 0.0

    def steps_in(self, seconds: float) -> int:
        """How many steps take about so many seconds; one as long as the speed is unknown."""
        return max(1, math.ceil(self.steps_per_second * seconds))

    @property
    def shares(self) -> dict[str, float]:
        """The share of each kind of work in the time so far."""
        total = sum(self._seconds.values())
        return {work: round(seconds / total, 6) for work, seconds in self._seconds.items()}
