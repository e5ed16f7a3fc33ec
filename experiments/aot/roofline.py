"""How fast a step could be at best: the time that each of a chip's published peaks leaves it."""

from typing import NamedTuple

from aot.targets import Chip


class Roofline(NamedTuple):
    """Seconds that a step takes at least."""

    compute: float
    memory: float
    links: float

    @property
    def seconds(self) -> float:
        """The largest of them, as if all three went on at once and nothing ever waited."""
        return max(self)

    @property
    def bound(self) -> str:
        """Which of them that is."""
        return max(self._fields, key=lambda name: getattr(self, name))


def roofline(chip: Chip, *, flops: float, hbm_bytes: float, reduced_bytes: float, chips: int) -> Roofline:
    """Holds what a step does on each chip against the chip's peaks.

    Args:
      chip: the chip.
      flops: floating-point operations.
      hbm_bytes: read from memory or written to it.
      reduced_bytes: given to all-reduces; a ring sends 2 (n - 1) / n times as much out of each of n chips, and no
        algorithm less.
      chips: how many chips share a step.

    Returns:
      The times. What exchanges between chips wait for one another is in none of them.
    """
    sent = 2 * (chips - 1) / chips * reduced_bytes
    return Roofline(flops / chip.peak_flops, hbm_bytes / chip.hbm_bytes_per_second, sent / chip.link_bytes_per_second)
