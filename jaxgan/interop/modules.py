"""Converts the parameters and batch statistics of a network or a method's state to a ``state_dict``, and back."""

from collections.abc import Mapping
from typing import TypeVar

import jax
from jaxtyping import ArrayLike, PyTree

from jaxgan.interop.tensors import Arrays, fitted, tensors
from jaxgan.methods import GANState, ModelState

State = TypeVar("State", ModelState, GANState)


def state_dict(params: PyTree, batch_stats: PyTree = None) -> Arrays:
    """Converts parameters and batch statistics to the ``state_dict`` of a module with the same layer names.

    Args:
      params: parameters by layer; layers may be nested.
      batch_stats: batch statistics by layer; None for none.

    Returns:
      Copies, under PyTorch's names and in its layouts.

    Raises:
      UserError: if a leaf has no counterpart.
    """
    return {tensor.name: tensor.outward() for tensor in tensors(params, batch_stats)}


def from_state_dict(arrays: Mapping[str, ArrayLike], *, like: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
    """Converts the ``state_dict`` of a module with the same layer names to parameters and batch statistics.

    Args:
      arrays: arrays under PyTorch's names, one for each leaf of `like`.
      like: (parameters, batch statistics) with the structure, shapes and dtypes of the result.

    Returns:
      New (parameters, batch statistics), as NumPy arrays.

    Raises:
      UserError: if a name is missing or unknown, or a shape differs.
    """
    expected = tensors(*like)
    counts = {tensor.name.replace("running_mean", "num_batches_tracked") for tensor in expected}
    counts -= {tensor.name for tensor in expected}
    leaves = fitted({name: array for name, array in arrays.items() if name not in counts}, expected)
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def weights(state: ModelState | GANState, *, averaged: bool = False) -> Arrays:
    """Converts all networks of a method's state, for one module with attributes of the same names.

    Args:
      state: the state of a GAN, with prefixes ``generator.`` and ``discriminator.``, or of an autoencoder, with
        ``encoder.`` and ``decoder.``.
      averaged: whether to take the averaged parameters, if the state has any.

    Returns:
      Copies of parameters and batch statistics.
    """
    return state_dict(*state.variables(averaged=averaged))


def with_weights(state: State, arrays: Mapping[str, ArrayLike]) -> State:
    """Replaces the weights in a method's state. Step and optimizers stay; an average restarts from the new weights.

    Args:
      state: the state.
      arrays: the result of :func:`weights`, or the ``state_dict`` of a module that loaded it.

    Returns:
      The state with these weights, as NumPy arrays.

    Raises:
      UserError: if a name is missing or unknown, or a shape differs.
    """
    return state.with_variables(*from_state_dict(arrays, like=state.variables(averaged=False)))
