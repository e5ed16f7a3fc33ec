"""Divergence: non-finite numbers end a single run, or one of its replicas."""

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
    """A loss or a parameter is not finite."""


class Divergence:
    """Tracks which replicas of a run have diverged, warns of each once, and ends the run when all have diverged.

    Args:
      replicas: the replica numbers; [None] for a single run, which ends at once.
    """

    def __init__(self, replicas: Sequence[int | None]) -> None:
        self._replicas = replicas
        self._diverged: dict[int | None, str] = {}  # messages by replica

    @property
    def going(self) -> list[int | None]:
        """The replicas that have not diverged."""
        return [replica for replica in self._replicas if replica not in self._diverged]

    def means(self, carry: Carry) -> list[dict[str, float]]:
        """Fetches the mean metrics of each replica since the last row; waits for the device.

        Returns:
          The means by name; for a diverged replica only ``diverged``, the step at which it did.

        Raises:
          Diverged: if no replica is left.
        """
        fetched = jax.device_get((carry.metric_sums, carry.count, carry.state.step))
        means, messages = [], {}
        for replica in self._replicas:
            sums, count, step = entry(fetched, replica)
            if bad := next((name for name, total in sums.items() if not math.isfinite(total)), None):
                means.append({"diverged": float(step - 1)})
                if replica not in self._diverged:
                    also = not_finite(entry(carry.state, replica))
                    message = f"{bad} is not finite at step {step - 1}"
                    messages[replica] = message + (f", nor is {also} after it" if also else "")
            else:
                means.append({name: float(total) / int(count) for name, total in sums.items()})
        self._add(messages)
        return means

    def require_finite(self, carry: Carry, step: int) -> None:
        """Checks all numbers of the replicas that have not diverged; raises Diverged if none is left."""
        found = {replica: not_finite(entry(carry.state, replica)) for replica in self.going}
        self._add({replica: f"{bad} is not finite after step {step - 1}" for replica, bad in found.items() if bad})

    def _add(self, messages: Mapping[int | None, str]) -> None:
        self._diverged |= messages
        if messages and not self.going:
            first, message = next(iter(self._diverged.items()))
            raise Diverged(message if first is None else f"all replicas diverged, {first} first: {message}")
        for replica, message in messages.items():
            _log.warning("replica %d has diverged: %s; the others continue", replica, message)


def mean_over_replicas(means: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Returns the metrics to display: their means over the replicas that have not diverged."""
    active = [metrics for metrics in means if "diverged" not in metrics]
    return active[0] if len(means) == 1 else {name: float(np.mean([m[name] for m in active])) for name in active[0]}
