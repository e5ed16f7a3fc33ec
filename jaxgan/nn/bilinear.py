"""Strided convolution, transposed convolution and the weight gradient: three bilinear maps, adjoint to one another.

For a fixed geometry (kernel size, strides, padding) let C(x, w) be the convolution of images x with kernel w, T(y, w)
its transpose in x, and W(x, y) its transpose in w. Then

    <C(x, w), y> = <x, T(y, w)> = <w, W(x, y)>

for all x, y, w, so the gradient of each map is a pair of the other two. Each map is a ``custom_vjp`` that calls the
other two. Gradients of any order, such as those of a gradient penalty, thus use the same three kernels. Each kernel is
one forward convolution of XLA in its canonical layout. XLA's CPU backend runs these at the speed of a matrix product.
The convolutions that automatic differentiation derives are slower there, above all inside a loop.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import lax
from jaxtyping import Array, Float

from jaxgan.nn import convolution_kernels as kernels
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
      strides: steps of the kernel, in pixels.
      padding: zeros added on each side of the images.
      groups: groups of input and output channels that are convolved separately; the kernel has the inputs of one group.

    Returns:
      The convolved images, of the size that :meth:`Geometry.down` returns.
    """
    geometry = Geometry(pair(w.shape[:2]), strides, padding)
    if groups == 1:
        return _c(geometry, *vary_alike(x, w))
    # JAX lowers the vmap, and its gradients, to one grouped convolution each.
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

    It restores the shape of the convolution's input, not its values. ``torch.nn.functional.conv_transpose2d`` computes
    the same from a kernel with axes (outputs, inputs, height, width).

    Args:
      y: images of the shape that :func:`convolution` returns.
      w: the kernel of that convolution.
      strides: its strides, here the spacing of the pixels of ``y`` in the result.
      padding: its padding, here cropped from each side of the result.
      output_padding: rows and columns added at the bottom and right, to choose among the input sizes of the convolution
        that have the same output size.

    Returns:
      Images of the size that :meth:`Geometry.up` returns.

    Raises:
      ValueError: if the output padding is not below the stride: no convolution has an input of that size.
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
    """W(x, y): the transpose of :func:`convolution` in its kernel, a correlation of its input with its output.

    Args:
      x: images.
      y: images of the size that a convolution of ``x`` returns.
      kernel_size: height and width of the kernel.
      strides: strides of the convolution.
      padding: padding of the convolution.

    Returns:
      An array of the kernel's shape.
    """
    return _w(Geometry(kernel_size, strides, padding), *vary_alike(x, y))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _c(geometry: Geometry, x: ArrayLike, w: ArrayLike) -> Array:
    return kernels.convolve(geometry, x, w)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _t(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    return kernels.convolve_transposed(geometry, size, y, w)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _w(geometry: Geometry, x: ArrayLike, y: ArrayLike) -> Array:
    return kernels.correlate(geometry, x, y)


def _forward(map_: Callable[..., Any], static_count: int):
    """Makes the forward pass of a bilinear map, whose residuals are both factors."""
    return lambda *args: (map_(*args), args[static_count:])


_c.defvjp(
    _forward(_c, 1),
    lambda geometry, residuals, g: (
        _t(geometry, residuals[0].shape[1:3], *vary_alike(g, residuals[1])),
        _w(geometry, *vary_alike(residuals[0], g)),
    ),
)
_t.defvjp(
    _forward(_t, 2),
    lambda geometry, size, residuals, g: (
        _c(geometry, *vary_alike(g, residuals[1])),
        _w(geometry, *vary_alike(g, residuals[0])),
    ),
)
_w.defvjp(
    _forward(_w, 1),
    lambda geometry, residuals, g: (
        _t(geometry, residuals[0].shape[1:3], *vary_alike(residuals[1], g)),
        _c(geometry, *vary_alike(residuals[0], g)),
    ),
)


def matmul(x: Float[ArrayLike, "n k"], w: Float[ArrayLike, "k m"]) -> Float[Array, "n m"]:
    """Multiplies two matrices; its gradients call this function again, so derivatives of every order use it.

    It differs from ``x @ w`` only in the gradient of a tall kernel on CPU. XLA folds the transpose of ``x`` into the
    product, and its CPU kernel for that is slow if ``x`` is wide. Here the transpose stays a separate operation: a
    third faster on one thread, though somewhat slower on two.

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
    unfused = lax.optimization_barrier if x.shape[-1] > g.shape[-1] else lambda x_transposed: x_transposed
    x_transposed = lax.platform_dependent(x.T, cpu=unfused, default=lambda x_transposed: x_transposed)
    return matmul(g, w.T), matmul(x_transposed, g)


_matmul.defvjp(_matmul_forward, _matmul_backward)


def vary_alike(*arrays: ArrayLike) -> tuple[ArrayLike, ...]:
    """Marks all arrays as varying over every mapped axis that any of them varies over.

    Under ``shard_map`` JAX tracks this in the types. Its own operations insert the cast; the arguments of a
    ``custom_vjp`` must agree beforehand.

    Args:
      *arrays: the arguments of the operation.

    Returns:
      The same values, with types that agree.
    """
    varying = [jax.typeof(a).manual_axis_type.varying for a in arrays]
    missing = [tuple(frozenset().union(*varying) - axes) for axes in varying]
    return tuple(lax.pcast(a, axes, to="varying") if axes else a for a, axes in zip(arrays, missing, strict=True))
