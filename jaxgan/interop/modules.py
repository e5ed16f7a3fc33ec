"""Parameters and batch statistics as a ``state_dict``: those of one network, and those of a method's whole state."""

from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import ArrayLike, PyTree

from jaxgan.interop.tensors import Arrays, fitted, tensors
from jaxgan.methods import AutoencoderState, GANState


def state_dict(params: PyTree, batch_stats: PyTree = None) -> Arrays:
    """Writes parameters and batch statistics as the ``state_dict`` of a module with the same layer names.

    Args:
      params: parameters by layer; layers may be nested.
      batch_stats: batch statistics by layer; None for none.

    Returns:
      Copies by PyTorch's names, in its layouts.

    Raises:
      UserError: if a leaf has no counterpart.
    """
    return {tensor.name: tensor.outward() for tensor in tensors(params, batch_stats)}


def from_state_dict(arrays: Mapping[str, ArrayLike], *, like: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
    """Reads parameters and batch statistics from the ``state_dict`` of a module with the same layer names.

    Args:
      arrays: by PyTorch's names, one for each leaf of `like`.
      like: (parameters, batch statistics) of the structure, shapes and types to return.

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


def weights(state: GANState | AutoencoderState, *, averaged: bool = False) -> Arrays:
    """Writes all networks of a method's state, for one module that has them as attributes of the same names.

    Args:
      state: a GAN's, whose names begin with ``generator.`` and ``discriminator.``, or an autoencoder's, with
        ``encoder.`` and ``decoder.``.
      averaged: whether to take the averaged parameters, with which samples are drawn, where there are any.

    Returns:
      Copies of parameters and batch statistics.
    """
    return state_dict(*_networks(state, averaged=averaged))


def with_weights(state: GANState | AutoencoderState, arrays: Mapping[str, ArrayLike]) -> GANState | AutoencoderState:
    """Replaces the weights of a method's state; step and optimizers stay, and an average starts anew from the weights.

    Args:
      state: what gives structure, shapes and types.
      arrays: what :func:`weights` writes, or the ``state_dict`` of a module that loads it.

    Returns:
      The state with these weights, as NumPy arrays.

    Raises:
      UserError: if a name is missing or unknown, or a shape differs.
    """
    params, stats = from_state_dict(arrays, like=_networks(state, averaged=False))
    if isinstance(state, AutoencoderState):
        network = state.network.replace(params=params, batch_stats=stats)
        return state.replace(network=network, averaged=_start(params, state.averaged))
    generator, discriminator = (
        getattr(state, name).replace(params=params[name], batch_stats=stats[name])
        for name in ("generator", "discriminator")
    )
    averaged = _start(params["generator"], state.averaged)
    return state.replace(generator=generator, discriminator=discriminator, averaged=averaged)


def _start(params: PyTree, averaged: PyTree | None) -> PyTree | None:
    """A new average in the place of an old one, if there is one."""
    return None if averaged is None else jax.tree.map(np.copy, params)


def _networks(state: GANState | AutoencoderState, *, averaged: bool) -> tuple[PyTree, PyTree]:
    """Parameters and batch statistics by network."""
    average = state.averaged if averaged else None
    if isinstance(state, AutoencoderState):
        return state.network.params if average is None else average, state.network.batch_stats
    generator, discriminator = state.generator, state.discriminator
    params = {"generator": generator.params if average is None else average, "discriminator": discriminator.params}
    return params, {"generator": generator.batch_stats, "discriminator": discriminator.batch_stats}
