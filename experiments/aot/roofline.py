"""How fast a step could be at best: the time that each of a chip's published peaks leaves it."""

from typing import NamedTuple

from aot.targets import Target


class Roofline(NamedTuple):
    """Seconds that a step takes at least."""

    compute: float
    memory: float
    links: float
    network: float = 0.0  # between slices

    @property
    def seconds(self) -> float:
        """The largest of them, as if all three went on at once and nothing ever waited."""
        return max(self)

    @property
    def bound(self) -> str:
        """Which of them that is."""
        return max(self._fields, key=lambda name: getattr(self, name))


def roofline(
    target: Target,
    *,
    flops: float,
    hbm_bytes: float,
    reduced_bytes: float,
    gathered_bytes: float = 0,
    crossing_bytes: float = 0,
) -> Roofline:
    """Holds what a step does on each chip against the chip's peaks.

    Args:
      target: the chips that share a step.
      flops: floating-point operations.
      hbm_bytes: read from memory or written to it.
      reduced_bytes: given to all-reduces within a slice; a ring sends 2 (n - 1) / n times as much out of each of n
        chips, and no algorithm less.
      gathered_bytes: given to all-gathers within a slice; n - 1 times as much comes into each chip.
      crossing_bytes: given to sums over slices.

    Returns:
      The times. What exchanges between chips wait for one another is in none of them.
    """
    chip, chips, slices = target.chip, target.count // target.slices, target.slices
    linked = 2 * (chips - 1) / chips * reduced_bytes + (chips - 1) * gathered_bytes
    return Roofline(
        flops / chip.peak_flops,
        hbm_bytes / chip.hbm_bytes_per_second,
        linked / chip.link_bytes_per_second,
        2 * (slices - 1) / slices * crossing_bytes / chip.slice_bytes_per_second if slices > 1 else 0.0,
    )
