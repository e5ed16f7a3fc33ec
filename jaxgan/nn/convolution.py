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

import itertools
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from jaxgan.nn.varying import vary_alike

LAYOUT = ("NHWC", "HWIO", "NHWC")
FEW_CHANNELS = 3  # of images, as their pixels have
Pair = tuple[int, int]


class Geometry(NamedTuple):
    """How a kernel moves over an image, in PyTorch's terms; each field is (vertical, horizontal)."""

    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Pair = (0, 0)

    def down(self, size: Pair) -> Pair:
        """The size of a convolution's output: floor((n + 2p - k) / s) + 1."""
        return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, *self, strict=True))

    def up(self, size: Pair, output_padding: Pair = (0, 0)) -> Pair:
        """The size of a transposed convolution's output: (n - 1) s - 2p + k + output padding."""
        terms = zip(size, *self, output_padding, strict=True)
        return tuple((n - 1) * s - 2 * p + k + extra for n, k, s, p, extra in terms)

    def surplus(self, size: Pair) -> Pair:
        """Rows and columns at the far edge of a convolution's input that no stride reaches; the output padding back."""
        return tuple((n + 2 * p - k) % s for n, k, s, p in zip(size, *self, strict=True))


def convolution(
    x: Float[ArrayLike, "batch height width inputs"],
    w: Float[ArrayLike, "kernel_height kernel_width inputs outputs"],
    *,
    strides: Pair = (1, 1),
    padding: Pair = (0, 0),
) -> Float[Array, "batch down_height down_width outputs"]:
    """C(x, w): convolves images with a kernel, as ``torch.nn.functional.conv2d`` does (without flipping it).

    Args:
      x: images.
      w: the kernel.
      strides: how far the kernel moves.
      padding: zeros put around the images on each side.

    Returns:
      The convolved images, of the size :meth:`Geometry.down` gives.
    """
    return _c(Geometry(w.shape[:2], strides, padding), *vary_alike(x, w))


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
    geometry = Geometry(w.shape[:2], strides, padding)
    return _t(geometry, geometry.up(y.shape[1:3], output_padding), *vary_alike(y, w))


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
    if w.shape[2] <= FEW_CHANNELS and max(geometry.strides) > 1:
        return lax.platform_dependent(x, w, cpu=partial(_c_of_tiles, geometry), default=partial(_c_directly, geometry))
    return _c_directly(geometry, x, w)


def _c_directly(geometry: Geometry, x: ArrayLike, w: ArrayLike) -> Array:
    padding = [(p, p) for p in geometry.padding]
    return lax.conv_general_dilated(x, w, geometry.strides, padding, dimension_numbers=LAYOUT)


def _c_of_tiles(geometry: Geometry, x: ArrayLike, w: ArrayLike) -> Array:
    """The same map over tiles of a stride's size, whose pixels are channels: there are more of these, and no stride.

    Convolutions of one channel are slow on CPU. On a TPU it takes longer to lay out the tiles.
    """
    kernel = _in_tiles(geometry, w)
    rows, height, columns, width, channels, outputs = kernel.shape
    tiles = [n + count - 1 for n, count in zip(geometry.down(x.shape[1:3]), (rows, columns), strict=True)]
    sizes = zip(tiles, geometry.strides, x.shape[1:3], geometry.padding, strict=True)
    edges = [(p, count * s - n - p, 0) for count, s, n, p in sizes]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    x = x.reshape(len(x), tiles[0], height, tiles[1], width, channels).transpose(0, 1, 3, 2, 4, 5)
    return lax.conv_general_dilated(
        x.reshape(*x.shape[:3], -1),
        kernel.transpose(0, 2, 1, 3, 4, 5).reshape(rows, columns, -1, outputs),
        (1, 1),
        "VALID",
        dimension_numbers=LAYOUT,
    )


def _in_tiles(geometry: Geometry, w: ArrayLike) -> Float[Array, "rows height columns width inputs outputs"]:
    """Cuts a kernel into tiles of a stride's size, ``rows`` times ``columns``, the last ones filled up with zeros."""
    counts = [-(-k // s) for k, s in zip(geometry.kernel_size, geometry.strides, strict=True)]
    (rows, columns), (height, width) = counts, geometry.strides
    whole = jnp.pad(w, [(0, rows * height - len(w)), (0, columns * width - w.shape[1]), (0, 0), (0, 0)])
    return whole.reshape(rows, height, columns, width, *w.shape[2:])


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _t(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    if y.shape[1:3] == (1, 1):
        return _t_of_one_pixel(geometry, size, y, w)
    if w.shape[2] <= FEW_CHANNELS:
        return _t_by_patches(geometry, size, y, w)
    reach = [k - 1 - p for k, p in zip(geometry.kernel_size, geometry.padding, strict=True)]
    padding = [(r, r + extra) for r, extra in zip(reach, geometry.surplus(size), strict=True)]
    flipped = lax.rev(w, (0, 1)).swapaxes(2, 3)
    return lax.conv_general_dilated(
        y, flipped, (1, 1), padding, lhs_dilation=geometry.strides, dimension_numbers=LAYOUT
    )


def _t_of_one_pixel(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    """The same map from images of one pixel, which is a fully connected layer.

    With zeros around the pixel, nearly all of the work would be to multiply by them.
    """
    kernel = w.reshape(1, 1, -1, w.shape[3]).swapaxes(2, 3)
    patches = lax.conv_general_dilated(y, kernel, (1, 1), "VALID", dimension_numbers=LAYOUT)
    edges = [(-p, p + n - k, 0) for p, n, k in zip(geometry.padding, size, geometry.kernel_size, strict=True)]
    patches = patches.reshape(len(y), *geometry.kernel_size, w.shape[2])
    return lax.pad(patches, jnp.zeros((), patches.dtype), [(0, 0, 0), *edges, (0, 0, 0)])


def _t_by_patches(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    """The same map, as the patch of the image that each pixel of ``y`` makes, added up where patches overlap.

    One product, a convolution with a kernel of one pixel, makes all patches. For images of one channel this is more
    than three times as fast on CPU as convolving ``y`` with zeros between its pixels. TPU's compiler expects it to make
    a step of the DCGAN a tenth slower; choosing by platform would keep the generator from being exported to ONNX.
    """
    kernel = _in_tiles(geometry, w)
    rows, height, columns, width, channels, outputs = kernel.shape  # a patch covers as many tiles as the kernel
    covered = [
        -(-(p + n) // s) for p, n, s in zip(geometry.padding, size, geometry.strides, strict=True)
    ]  # up to edges
    patches = lax.conv_general_dilated(
        y,
        kernel.reshape(1, 1, -1, outputs).swapaxes(2, 3),
        (1, 1),
        [(count - 1, tiles - n) for count, tiles, n in zip((rows, columns), covered, y.shape[1:3], strict=True)],
        dimension_numbers=LAYOUT,
    )
    patches = patches.reshape(*patches.shape[:3], rows, height, columns, width, channels)
    overlapping = [
        patches[:, rows - 1 - i :, columns - 1 - j :][:, : covered[0], : covered[1], i, :, j]
        for i, j in itertools.product(range(rows), range(columns))
    ]
    tiles = reduce(jnp.add, overlapping).transpose(0, 1, 3, 2, 4, 5)
    image = tiles.reshape(y.shape[0], covered[0] * height, covered[1] * width, channels)
    (top, left), (bottom, right) = geometry.padding, size
    return image[:, top : top + bottom, left : left + right]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _w(geometry: Geometry, x: ArrayLike, y: ArrayLike) -> Array:
    # The images of a batch take the place of channels. Asking for this through dimension_numbers instead of transposing
    # would be as fast outside of a loop and 25 times slower inside of one.
    padding = [(p, p) for p in geometry.padding]
    correlation = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0),
        y.transpose(1, 2, 0, 3),
        (1, 1),
        padding,
        rhs_dilation=geometry.strides,
        dimension_numbers=LAYOUT,
    )
    height, width = geometry.kernel_size
    return correlation[:, :height, :width].transpose(1, 2, 0, 3)


def _keep(map_: jax.custom_vjp, statics: int):
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
