"""Kernels of the three bilinear maps of ``bilinear``: one XLA convolution each, in a form chosen by platform.

A form is a layout of images and kernel. All forms of a map have the same values up to rounding. ``bilinear`` documents
the shapes.
"""

import itertools
from collections.abc import Iterable
from functools import partial, reduce
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

if TYPE_CHECKING:  # NumPy arrays are accepted, too: they have the methods used here
    from jaxtyping import Array as ArrayLike
else:
    from jaxtyping import ArrayLike

LAYOUT = ("NHWC", "HWIO", "NHWC")
FEW_CHANNELS = 3  # at most as many as an RGB image has
Pair = tuple[int, int]


def pair(numbers: Iterable[int]) -> Pair:
    """Makes a pair of two numbers."""
    first, second = numbers
    return first, second


class Geometry(NamedTuple):
    """How a kernel moves over an image, in PyTorch's terms; each field is (vertical, horizontal)."""

    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Pair = (0, 0)

    def down(self, size: Pair) -> Pair:
        """The size of a convolution's output: floor((n + 2p - k) / s) + 1."""
        return pair((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, *self, strict=True))

    def up(self, size: Pair, output_padding: Pair = (0, 0)) -> Pair:
        """The size of a transposed convolution's output: (n - 1) s - 2p + k + output padding."""
        terms = zip(size, *self, output_padding, strict=True)
        return pair((n - 1) * s - 2 * p + k + extra for n, k, s, p, extra in terms)

    def surplus(self, size: Pair) -> Pair:
        """The output padding of the transpose: rows and columns at the far edge of the input that no stride reaches."""
        return pair((n + 2 * p - k) % s for n, k, s, p in zip(size, *self, strict=True))


def convolve(geometry: Geometry, x: ArrayLike, w: ArrayLike) -> Array:
    """C(x, w); few input channels use tiles on CPU, where convolutions of one channel are slow."""
    directly = partial(_convolve_directly, geometry)
    if w.shape[2] > FEW_CHANNELS or max(geometry.strides) == 1:
        return directly(x, w)
    # On a TPU, rearranging pixels into tiles costs more than it saves.
    return lax.platform_dependent(x, w, cpu=partial(_convolve_by_tiles, geometry), default=directly)


def convolve_transposed(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    """T(y, w) of a given size: a matrix product if ``y`` is one pixel, else patches or tiles if faster on CPU."""
    if y.shape[1:3] == (1, 1):
        return _transposed_of_one_pixel(geometry, size, y, w)
    directly = partial(_transposed_directly, geometry, size)
    padded = any(k % s for k, s in zip(geometry.kernel_size, geometry.strides, strict=True))
    if w.shape[2] <= FEW_CHANNELS:
        on_cpu = partial(_transposed_by_patches, geometry, size)
    elif max(geometry.strides) > 1 and not padded:
        on_cpu = partial(_transposed_by_tiles, geometry, size)
    else:  # zero-padded tiles would take longer
        return directly(y, w)
    # Compiled for a TPU v5e, a DCGAN step would take 2 % longer with patches, and 15 % with patches and tiles.
    return lax.platform_dependent(y, w, cpu=on_cpu, default=directly)


def correlate(geometry: Geometry, x: ArrayLike, y: ArrayLike) -> Array:
    """W(x, y); the batch axis serves as the channel axis of the convolution."""
    # On CPU, dimension_numbers instead of transposes would be as fast outside a loop and 25 times slower inside one.
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


def _convolve_directly(geometry: Geometry, x: ArrayLike, w: ArrayLike) -> Array:
    padding = [(p, p) for p in geometry.padding]
    return lax.conv_general_dilated(x, w, geometry.strides, padding, dimension_numbers=LAYOUT)


def _convolve_by_tiles(geometry: Geometry, x: ArrayLike, w: ArrayLike) -> Array:
    """Space to depth: pixels of stride-sized tiles become channels; the convolution has more of them and no stride."""
    kernel = _kernel_in_tiles(geometry, w)
    rows, height, columns, width, channels, outputs = kernel.shape
    tiles = [n + count - 1 for n, count in zip(geometry.down(pair(x.shape[1:3])), (rows, columns), strict=True)]
    sizes = zip(tiles, geometry.strides, x.shape[1:3], geometry.padding, strict=True)
    edges = [(p, count * s - n - p, 0) for count, s, n, p in sizes]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    x = x.reshape(x.shape[0], tiles[0], height, tiles[1], width, channels).transpose(0, 1, 3, 2, 4, 5)
    return lax.conv_general_dilated(
        x.reshape(*x.shape[:3], -1),
        kernel.transpose(0, 2, 1, 3, 4, 5).reshape(rows, columns, -1, outputs),
        (1, 1),
        "VALID",
        dimension_numbers=LAYOUT,
    )


def _transposed_directly(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    """Dilates ``y`` with zeros between its pixels and convolves it."""
    reach = [k - 1 - p for k, p in zip(geometry.kernel_size, geometry.padding, strict=True)]
    padding = [(r, r + extra) for r, extra in zip(reach, geometry.surplus(size), strict=True)]
    flipped = lax.rev(w, (0, 1)).swapaxes(2, 3)
    return lax.conv_general_dilated(
        y, flipped, (1, 1), padding, lhs_dilation=geometry.strides, dimension_numbers=LAYOUT
    )


def _transposed_of_one_pixel(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    """Computes one matrix product; a convolution of the zero-padded pixel would mostly multiply zeros."""
    kernel = w.reshape(1, 1, -1, w.shape[3]).swapaxes(2, 3)
    patches = lax.conv_general_dilated(y, kernel, (1, 1), "VALID", dimension_numbers=LAYOUT)
    edges = [(-p, p + n - k, 0) for p, n, k in zip(geometry.padding, size, geometry.kernel_size, strict=True)]
    patches = patches.reshape(y.shape[0], *geometry.kernel_size, w.shape[2])
    return lax.pad(patches, jnp.zeros((), patches.dtype), [(0, 0, 0), *edges, (0, 0, 0)])


def _transposed_by_tiles(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    """Depth to space: convolves without strides to channels that are pixels of stride-sized tiles, and joins these.

    It computes a margin that is cropped. Yet XLA's CPU backend builds patches of dilated images in memory and adds them
    up. Tiles make a WGAN-GP step 5 % faster on one thread and 7 % faster on two.
    """
    kernel = lax.rev(_kernel_in_tiles(geometry, w), (0, 2))
    rows, height, columns, width, channels, outputs = kernel.shape
    kernel = kernel.transpose(0, 2, 5, 1, 3, 4).reshape(rows, columns, outputs, -1)
    tiles = _convolve_to_tiles(geometry, size, y, kernel, reach=(rows, columns))
    return _join(geometry, size, tiles.reshape(*tiles.shape[:3], height, width, channels))


def _transposed_by_patches(geometry: Geometry, size: Pair, y: ArrayLike, w: ArrayLike) -> Array:
    """Computes the image patch of each pixel of ``y`` by one matrix product, and adds overlapping patches.

    For images of one channel this is more than three times as fast on CPU as convolving the dilated ``y``.
    """
    kernel = _kernel_in_tiles(geometry, w)
    rows, height, columns, width, channels, outputs = kernel.shape  # a patch covers as many tiles as the kernel
    kernel = kernel.reshape(1, 1, -1, outputs).swapaxes(2, 3)
    patches = _convolve_to_tiles(geometry, size, y, kernel, reach=(rows, columns))
    patches = patches.reshape(*patches.shape[:3], rows, height, columns, width, channels)
    down, right = _tiles_over(geometry, size)
    overlapping = [
        patches[:, rows - 1 - i :, columns - 1 - j :][:, :down, :right, i, :, j]
        for i, j in itertools.product(range(rows), range(columns))
    ]
    return _join(geometry, size, reduce(jnp.add, overlapping))


def _kernel_in_tiles(geometry: Geometry, w: ArrayLike) -> Float[Array, "rows height columns width inputs outputs"]:
    """Splits a kernel into ``rows`` times ``columns`` stride-sized tiles; the last ones are zero-padded."""
    counts = [-(-k // s) for k, s in zip(geometry.kernel_size, geometry.strides, strict=True)]
    (rows, columns), (height, width) = counts, geometry.strides
    padded = jnp.pad(w, [(0, rows * height - len(w)), (0, columns * width - w.shape[1]), (0, 0), (0, 0)])
    return padded.reshape(rows, height, columns, width, *w.shape[2:])


def _tiles_over(geometry: Geometry, size: Pair) -> Pair:
    """The number of tiles that cover an image and the padding at its top and left."""
    return pair(-(-(p + n) // s) for p, n, s in zip(geometry.padding, size, geometry.strides, strict=True))


def _convolve_to_tiles(geometry: Geometry, size: Pair, y: ArrayLike, kernel: Array, *, reach: Pair) -> Array:
    """Zero-pads and convolves ``y``, so that ``reach`` pixels of it contribute to each tile of the image."""
    sizes = zip(reach, _tiles_over(geometry, size), y.shape[1:3], strict=True)
    padding = [(count - 1, tiles - n) for count, tiles, n in sizes]
    return lax.conv_general_dilated(y, kernel, (1, 1), padding, dimension_numbers=LAYOUT)


def _join(
    geometry: Geometry, size: Pair, tiles: Float[Array, "batch rows columns height width channels"]
) -> Float[Array, "batch image_height image_width channels"]:
    """Joins tiles into images and crops the padding."""
    batch, rows, columns, height, width, channels = tiles.shape
    image = tiles.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * height, columns * width, channels)
    (top, left), (bottom, right) = geometry.padding, size
    return image[:, top : top + bottom, left : left + right]
