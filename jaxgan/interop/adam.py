"""Adam's moments, between optax and ``torch.optim.Adam``."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
import optax
from jaxtyping import ArrayLike, PyTree

from jaxgan.errors import UserError
from jaxgan.interop.tensors import Arrays, Tensor, fitted, tensors
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
    mean, square = ({t.name: t.outward() for t in _tensors(moment, network)} for moment in (adam.mu, adam.nu))
    return Moments(int(np.asarray(adam.count)), mean, square)


def with_adam_state(network: NetworkState, moments: Moments) -> NetworkState:
    """Replaces Adam's moments in a network's state.

    Args:
      network: trained with ``optax.adam``.
      moments: as :func:`adam_state` returns them.

    Returns:
      The network with these moments, as NumPy arrays.

    Raises:
      UserError: if another optimizer trains the network, a name is missing or unknown, or a shape differs.
    """
    old = _adam(network.opt_state)
    mu, nu = (
        jax.tree.unflatten(jax.tree.structure(moment), fitted(arrays, _tensors(moment, network)))
        for moment, arrays in ((old.mu, moments.exp_avg), (old.nu, moments.exp_avg_sq))
    )
    new = optax.ScaleByAdamState(np.array(moments.step, cast(jax.Array, old.count).dtype), mu, nu)
    return network.replace(opt_state=jax.tree.map(lambda _: new, network.opt_state, is_leaf=_is_adam))


def adam_by_position(moments: Moments, names: Sequence[str]) -> dict[int, Arrays]:
    """Arranges Adam's moments by position, as ``torch.optim.Adam`` does.

    The optimizer loads them by ``optimizer.load_state_dict(optimizer.state_dict() | {"state": tensors})``, where
    ``tensors`` is ``jax.tree.map(torch.from_numpy, adam_by_position(moments, names))``.

    Args:
      moments: by parameter name.
      names: the parameters in the optimizer's order, that of ``module.named_parameters()``.

    Returns:
      Copies.

    Raises:
      UserError: if the names differ from those of the moments.
    """
    if lacking := [name for name in names if name not in moments.exp_avg]:
        raise UserError(f"{lacking[0]}: there are no moments of this parameter")
    if left := [name for name in moments.exp_avg if name not in names]:
        raise UserError(f"{left[0]}: there are moments of it, but it is not among the parameters named")
    return {
        position: {
            "step": np.array(moments.step, np.float32),
            "exp_avg": np.array(moments.exp_avg[name]),
            "exp_avg_sq": np.array(moments.exp_avg_sq[name]),
        }
        for position, name in enumerate(names)
    }


def adam_by_name(state: Mapping[int, Mapping[str, ArrayLike]], names: Sequence[str]) -> Moments:
    """Reads the moments of ``torch.optim.Adam``, the inverse of :func:`adam_by_position`.

    Args:
      state: ``optimizer.state_dict()["state"]``.
      names: the parameters in the optimizer's order.

    Returns:
      Copies, by parameter name.

    Raises:
      UserError: if a parameter has no moments, moments of another optimizer, or fewer steps than the others.
    """
    steps: dict[int, str] = {}
    for position, name in enumerate(names):
        if (found := sorted(state.get(position, ()))) != ["exp_avg", "exp_avg_sq", "step"]:
            raise UserError(
                f"{name}: Adam keeps step, exp_avg and exp_avg_sq, this optimizer {', '.join(found) or 'nothing'}"
            )
        steps.setdefault(int(np.asarray(state[position]["step"])), name)
    if len(steps) > 1:
        (a, first), (b, second) = list(steps.items())[:2]
        raise UserError(f"{second}: updated {b} times, but {first} {a} times; here all have one count")
    mean, square = (
        {name: np.array(np.asarray(state[i][kind])) for i, name in enumerate(names)}
        for kind in ("exp_avg", "exp_avg_sq")
    )
    return Moments(next(iter(steps)), mean, square)


def _adam(opt_state: optax.OptState) -> optax.ScaleByAdamState:
    """Finds Adam's state in that of an optimizer, which must have no other state."""
    match jax.tree.leaves(opt_state, is_leaf=_is_adam):
        case [optax.ScaleByAdamState() as adam]:
            return adam
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: type(part) is not tuple)
    kept = ", ".join(type(part).__name__ for part in parts) or "nothing"
    raise UserError(f"opt_state: only that of optax.adam has a counterpart in PyTorch, this one keeps {kept}")


def _is_adam(part: Any) -> bool:
    return isinstance(part, optax.ScaleByAdamState)


def _tensors(moment: PyTree, network: NetworkState) -> list[Tensor]:
    """Finds the counterparts of one moment's leaves, which have the names of the parameters."""
    return tensors(moment, network.batch_stats)[: len(jax.tree.leaves(moment))]
