"""Training that met a number that is not finite: the end of a single run, or of one replica of many."""

import logging
import math
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jaxgan.runtime.nans import not_finite
from jaxgan.runtime.program import Carry
from jaxgan.runtime.replicas import entry

_log = logging.getLogger(__name__)


class Diverged(Exception):
    """Training met a loss or a parameter that is not finite."""


class Divergence:
    """Which replicas of a run have diverged. It tells each once, and ends the run with the last of them.

    Args:
      replicas: their numbers; None alone for a single run, which ends at once.
    """

    def __init__(self, replicas: Sequence[int | None]) -> None:
        self._replicas = replicas
        self._found: dict[int | None, str] = {}

    @property
    def going(self) -> list[int | None]:
        """The replicas that have not diverged."""
        return [replica for replica in self._replicas if replica not in self._found]

    def means(self, carry: Carry) -> list[dict[str, float]]:
        """Fetches the means of the metrics since the last row, of each replica; waits for the device.

        Returns:
          The means by name; of a replica that has diverged, ``diverged``, the step at which it did.

        Raises:
          Diverged: if no replica is left.
        """
        fetched = jax.device_get((carry.metric_sums, carry.count, carry.state.step))
        means, found = [], {}
        for replica in self._replicas:
            sums, count, step = entry(fetched, replica)
            if bad := next((name for name, total in sums.items() if not math.isfinite(total)), None):
                means.append({"diverged": float(step - 1)})
                if replica not in self._found:
                    also = not_finite(entry(carry.state, replica))
                    words = f"{bad} is not finite at step {step - 1}"
                    found[replica] = words + (f", nor is {also} after it" if also else "")
            else:
                means.append({name: float(total) / int(count) for name, total in sums.items()})
        self._add(found)
        return means

    def require_finite(self, carry: Carry, step: int) -> None:
        """Looks at all numbers of the replicas that go on; raises Diverged if none is left."""
        found = {replica: not_finite(entry(carry.state, replica)) for replica in self.going}
        self._add({replica: f"{bad} is not finite after step {step - 1}" for replica, bad in found.items() if bad})

    def _add(self, found: Mapping[int | None, str]) -> None:
        self._found |= found
        if found and not self.going:
            first, words = next(iter(self._found.items()))
            raise Diverged(words if first is None else f"all replicas diverged, {first} first: {words}")
        for replica, words in found.items():
            _log.warning("replica %d has diverged: %s; the others go on", replica, words)


def mean_over_replicas(means: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The metrics that a display shows: their means over the replicas that go on."""
    going = [each for each in means if "diverged" not in each]
    return going[0] if len(means) == 1 else {name: float(np.mean([each[name] for each in going])) for name in going[0]}
