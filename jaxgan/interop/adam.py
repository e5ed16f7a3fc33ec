"""Adam's moments under the names of PyTorch's parameters."""

from typing import NamedTuple

import jax
import numpy as np
import optax

from jaxgan.errors import UserError
from jaxgan.interop.tensors import Arrays, tensors
from jaxgan.methods import NetworkState


class Moments(NamedTuple):
    """Adam's state under PyTorch's names: two arrays for each parameter, by the parameter's name."""

    step: int
    exp_avg: Arrays  # mean of the gradients
    exp_avg_sq: Arrays  # mean of their squares


def adam_state(network: NetworkState) -> Moments:
    """Reads Adam's moments from a network's state.

    Args:
      network: trained with ``optax.adam``.

    Returns:
      Copies, by the names of ``module.named_parameters()``.

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
    """Finds Adam's state in that of an optimizer, which must have no other state."""
    match jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, optax.ScaleByAdamState)):
        case [optax.ScaleByAdamState() as adam]:
            return adam
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: type(part) is not tuple)
    kept = ", ".join(type(part).__name__ for part in parts) or "nothing"
    raise UserError(f"opt_state: only that of optax.adam has a counterpart in PyTorch, this one keeps {kept}")
