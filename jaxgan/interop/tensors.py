"""Maps each leaf to its PyTorch counterpart: a name and an order of axes."""

import difflib
import types
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import ArrayLike, PyTree

from jaxgan.errors import UserError

Arrays = dict[str, np.ndarray]  # under PyTorch's names, in its layouts
Shape = tuple[int, ...]

KERNEL_AXES: Mapping[int, Shape] = types.MappingProxyType({2: (1, 0), 4: (3, 2, 0, 1)})  # PyTorch's order, by rank
NAMES: Mapping[str, str] = types.MappingProxyType(
    {
        "scale": "weight",
        "bias": "bias",
        "mean": "running_mean",
        "var": "running_var",
        "u": "parametrizations.weight.0._u",
        "v": "parametrizations.weight.0._v",
    }
)


class Tensor(NamedTuple):
    """A leaf and its counterpart in PyTorch, with another name and another order of axes."""

    name: str  # in PyTorch
    leaf: Any  # an array, or an abstract array with shape and dtype
    unflattened: Shape  # the shape of the leaf before the transposition
    axes: Shape  # the axes of the leaf, in PyTorch's order
    shape: Shape  # in PyTorch

    def outward(self) -> np.ndarray:
        """Returns a copy of the leaf in PyTorch's layout."""
        transposed = np.asarray(self.leaf).reshape(self.unflattened).transpose(self.axes)
        return np.array(transposed, order="C").reshape(self.shape)

    def inward(self, array: ArrayLike) -> np.ndarray:
        """Returns a copy of a PyTorch array in the layout and dtype of the leaf."""
        unflattened = np.asarray(array).reshape([self.unflattened[axis] for axis in self.axes])
        transposed = unflattened.transpose(np.argsort(self.axes))
        return np.array(transposed, self.leaf.dtype, order="C").reshape(self.leaf.shape)


def tensors(params: PyTree, batch_stats: PyTree = None) -> list[Tensor]:
    """Lists the counterparts of all leaves, in the order of ``jax.tree.leaves((params, batch_stats))``.

    Args:
      params: parameters by layer; layers may be nested.
      batch_stats: batch statistics by layer, including the vectors of spectral normalization; None for none.

    Returns:
      A counterpart for each leaf.

    Raises:
      UserError: if a leaf has no counterpart.
    """
    leaves = [*_named(params), *_named(batch_stats)]
    kernels = {layer: tuple(leaf.shape) for layer, name, leaf in leaves if name == "kernel"}
    normalized = {layer for layer, name, _ in leaves if name == "v"}

    def counterpart(layer: str, name: str, leaf: Any) -> Tensor:
        prefix, shape = f"{layer}." * bool(layer), tuple(leaf.shape)
        if name == "kernel" and (axes := KERNEL_AXES.get(len(shape))):
            weight = "parametrizations.weight.original" if layer in normalized else "weight"
            return Tensor(prefix + weight, leaf, shape, axes, tuple(shape[axis] for axis in axes))
        if name not in NAMES:
            raise UserError(
                f"{prefix}{name}: a leaf of this name and shape {shape} has no known counterpart in PyTorch"
            )
        if name == "v":  # one entry for each row of the kernel as a matrix
            *inputs, _ = kernels[layer]
            return Tensor(prefix + NAMES[name], leaf, tuple(inputs), KERNEL_AXES[len(inputs) + 1][1:], shape)
        return Tensor(prefix + NAMES[name], leaf, shape, tuple(range(len(shape))), shape)

    return [counterpart(*named) for named in leaves]


def _named(tree: PyTree) -> list[tuple[str, str, Any]]:
    """Lists the leaves of a tree as (layer, name in the layer, leaf)."""
    paths = [(jax.tree_util.keystr(path, simple=True, separator="."), x) for path, x in jax.tree.leaves_with_path(tree)]
    return [(layer, name, leaf) for path, leaf in paths for layer, _, name in [path.rpartition(".")]]


def fitted(arrays: Mapping[str, ArrayLike], expected: Sequence[Tensor]) -> list[np.ndarray]:
    """Copies arrays from PyTorch into the layouts and dtypes of their leaves.

    Args:
      arrays: arrays under PyTorch's names.
      expected: the counterparts of the leaves.

    Returns:
      An array for each leaf, in the same order.

    Raises:
      UserError: naming the first array that is missing, unknown, or of another shape.
    """
    names = {tensor.name for tensor in expected}
    for name, *_, shape in expected:
        if name not in arrays:
            near = _nearest(name, arrays.keys() - names)
            raise UserError(f"{name}: missing, a tensor of shape {shape} is expected{near}")
    for name, array in arrays.items():
        if name not in names:
            raise UserError(f"{name}: unknown, a tensor of shape {np.shape(array)} is given{_nearest(name, names)}")
    for name, *_, shape in expected:
        if (found := tuple(np.shape(arrays[name]))) != shape:
            raise UserError(f"{name}: a tensor of shape {found} does not fit, shape {shape} is expected")
    return [tensor.inward(arrays[tensor.name]) for tensor in expected]


def _nearest(name: str, others: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(others), n=1, cutoff=0)
    return f"; the nearest name is {near[0]!r}" if near else ""
