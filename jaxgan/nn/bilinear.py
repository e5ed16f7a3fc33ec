"""Strided convolution, transposed convolution and the weight gradient: three bilinear maps, adjoint to one another.

With a geometry (kernel size, strides, padding) fixed, let C(x, w) be the convolution of images x with kernel w, T(y, w)
its transpose in x, and W(x, y) its transpose in w. Then

    <C(x, w), y> = <x, T(y, w)> = <w, W(x, y)>

for all x, y, w, so the gradient of each map is a pair of the other two. Written as custom gradients that call one
another they are closed under differentiation: gradients of any order, such as those of a gradient penalty, stay on the
same three kernels, and each kernel is one forward convolution of XLA in its canonical layout. This is what makes them
fast: XLA's CPU backend runs those at the speed of a matrix product, but not the convolutions that automatic
differentiation derives, least of all inside of a loop.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import lax
from jaxtyping import Array, Float

from jaxgan.nn import convolution_kernels as forms
from jaxgan.nn.convolution_kernels import ArrayLike, Geometry, Pair, pair


def convolution(
    x: Float[ArrayLike, "batch height width all_inputs"],
    w: Float[ArrayLike, "kernel_height kernel_width inputs outputs"],
    *,
    strides: Pair = (1, 1),
    padding: Pair = (0, 0),
    groups: int = 1,
) -> Float[Array, "batch down_height down_width outputs"]:
    """C(x, w): convolves images with a kernel, as ``torch.nn.functional.conv2d`` does (without flipping it).

    Args:
      x: images.
      w: the kernel.
      strides: how far the kernel moves.
      padding: zeros put around the images on each side.
      groups: parts of inputs and outputs that are convolved apart; the kernel has the inputs of one.

    Returns:
      The convolved images, of the size :meth:`Geometry.down` gives.
    """
    geometry = Geometry(pair(w.shape[:2]), strides, padding)
    if groups == 1:
        return _c(geometry, *vary_alike(x, w))
    # JAX makes one convolution in groups of what is mapped, and of its gradients.
    x, w = (a.reshape(*a.shape[:3], groups, -1) for a in (x, w))
    y = jax.vmap(partial(_c, geometry), in_axes=3, out_axes=3)(*vary_alike(x, w))
    return y.reshape(*y.shape[:3], -1)


def transposed_convolution(
    y: Float[ArrayLike, "batch height width outputs"],
    w: Float[ArrayLike, "kernel_height kernel_width inputs outputs"],
    *,
    strides: Pair = (1, 1),
    padding: Pair = (0, 0),
    output_padding: Pair = (0, 0),
) -> Float[Array, "batch up_height up_width inputs"]:
    """T(y, w): the transpose of :func:`convolution` in its images, with the same kernel and geometry.

    It restores the shape that the convolution took away, not the values, and is what
    ``torch.nn.functional.conv_transpose2d`` computes from a kernel with its axes in the order (outputs, inputs, height,
    width).

    Args:
      y: images, such as :func:`convolution` gives.
      w: the kernel of that convolution.
      strides: its strides, here the distance to which the pixels of ``y`` are spread.
      padding: its padding, here cut away on each side.
      output_padding: rows and columns added at the far edge, of the input sizes that give the same output size.

    Returns:
      Images of the size :meth:`Geometry.up` gives.

    Raises:
      ValueError: if the output padding is not below the stride, so that no convolution has such an input.
    """
    if any(extra >= s for extra, s in zip(output_padding, strides, strict=True)):
        raise ValueError(f"output_padding: {output_padding} is not allowed, it must be below the strides {strides}")
    geometry = Geometry(pair(w.shape[:2]), strides, padding)
    return _t(geometry, geometry.up(pair(y.shape[1:3]), output_padding), *vary_alike(y, w))


def weight_gradient(
    x: Float[ArrayLike, "batch height width inputs"],
    y: Float[ArrayLike, "batch down_height down_width outputs"],
    *,
    kernel_size: Pair,
    strides: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Float[Array, "kernel_height kernel_width inputs outputs"]:
    """W(x, y): the transpose of :func:`convolution` in its kernel; correlates its input with its output.

    Args:
      x: images.
      y: images of the size that a convolution of ``x`` has.
      kernel_size: height and width of the kernel.
      strides: the convolution's strides.
      padding: its padding.

    Returns:
      An array of the kernel's shape.
    """
    return _w(Geometry(kernel_size, strides, padding), *vary_alike(x, y))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _c(geometry: Geometry, x: ArrayLike, w: ArrayLike) -> Array:
    return forms.convolve(geometry, x, w)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _t(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    return forms.convolve_transposed(geometry, size, y, w)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _w(geometry: Geometry, x: ArrayLike, y: ArrayLike) -> Array:
    return forms.correlate(geometry, x, y)


def _keep(map_: Callable[..., Any], statics: int):
    """The forward pass of a bilinear map: its value, and both factors kept for the backward pass."""
    return lambda *args: (map_(*args), args[statics:])


_c.defvjp(
    _keep(_c, 1),
    lambda geometry, kept, g: (
        _t(geometry, kept[0].shape[1:3], *vary_alike(g, kept[1])),
        _w(geometry, *vary_alike(kept[0], g)),
    ),
)
_t.defvjp(
    _keep(_t, 2),
    lambda geometry, size, kept, g: (_c(geometry, *vary_alike(g, kept[1])), _w(geometry, *vary_alike(g, kept[0]))),
)
_w.defvjp(
    _keep(_w, 1),
    lambda geometry, kept, g: (
        _t(geometry, kept[0].shape[1:3], *vary_alike(kept[1], g)),
        _c(geometry, *vary_alike(kept[0], g)),
    ),
)


def matmul(x: Float[ArrayLike, "n k"], w: Float[ArrayLike, "k m"]) -> Float[Array, "n m"]:
    """Multiplies two matrices; both gradients are again this product, so derivatives of every order are.

    Differs from ``x @ w`` only in how the gradient of a tall kernel reaches the CPU. XLA folds the transpose of ``x``
    into the product, for which its CPU backend has a kernel that is slow where ``x`` is wide; there the transpose is
    kept apart, which makes that gradient a third faster on one thread, though somewhat slower on two.

    Args:
      x: left factor, a batch of rows.
      w: right factor, a kernel.

    Returns:
      The product.
    """
    return _matmul(*vary_alike(x, w))


@jax.custom_vjp
def _matmul(x: ArrayLike, w: ArrayLike) -> Array:
    return x @ w


def _matmul_forward(x: ArrayLike, w: ArrayLike) -> tuple[Array, tuple[ArrayLike, ArrayLike]]:
    return _matmul(x, w), (x, w)


def _matmul_backward(residuals: tuple[ArrayLike, ArrayLike], g: ArrayLike) -> tuple[Array, Array]:
    x, w = residuals
    transpose = lax.optimization_barrier if x.shape[-1] > g.shape[-1] else lambda x_transposed: x_transposed
    x_transposed = lax.platform_dependent(x.T, cpu=transpose, default=lambda x_transposed: x_transposed)
    return matmul(g, w.T), matmul(x_transposed, g)


_matmul.defvjp(_matmul_forward, _matmul_backward)


def vary_alike(*arrays: ArrayLike) -> tuple[ArrayLike, ...]:
    """Marks arrays as varying over every mapped axis that one of them varies over.

    Under ``shard_map`` JAX tracks this in the types and does it by itself for its own operations; the two sides of a
    custom gradient have to agree on it beforehand.

    Args:
      *arrays: the arguments of such an operation.

    Returns:
      The same values, of types that agree.
    """
    varying = [jax.typeof(a).manual_axis_type.varying for a in arrays]
    missing = [tuple(frozenset().union(*varying) - axes) for axes in varying]
    return tuple(lax.pcast(a, axes, to="varying") if axes else a for a, axes in zip(arrays, missing, strict=True))
