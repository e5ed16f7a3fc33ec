"""Adam's moments under the names of PyTorch's parameters."""

from typing import NamedTuple

import jax
import numpy as np
import optax

from jaxgan.errors import UserError
from jaxgan.interop.tensors import Arrays, tensors
from jaxgan.methods import NetworkState


class Moments(NamedTuple):
    """Adam's state under PyTorch's names: two arrays for each parameter, by parameter name."""

    step: int
    exp_avg: Arrays  # moving average of the gradients
    exp_avg_sq: Arrays  # moving average of the squared gradients


def adam_state(network: NetworkState) -> Moments:
    """Reads Adam's moments from the state of a network.

    Args:
      network: the state of a network that ``optax.adam`` trains.

    Returns:
      Copies of the moments, by the names of ``module.named_parameters()``.

    Raises:
      UserError: if another optimizer trains the network.
    """
    adam = _adam(network.opt_state)
    mean, square = (
        {t.name: t.outward() for t in tensors(moment, network.batch_stats)[: len(jax.tree.leaves(moment))]}
        for moment in (adam.mu, adam.nu)
    )
    return Moments(int(np.asarray(adam.count)), mean, square)


def _adam(opt_state: optax.OptState) -> optax.ScaleByAdamState:
    """Finds Adam's state in the state of an optimizer, which must have no other state."""
    match jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, optax.ScaleByAdamState)):
        case [optax.ScaleByAdamState() as adam]:
            return adam
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: type(part) is not tuple)
    kept = ", ".join(type(part).__name__ for part in parts) or "nothing"
    raise UserError(f"opt_state: only the state of optax.adam has a counterpart in PyTorch, this one has {kept}")
