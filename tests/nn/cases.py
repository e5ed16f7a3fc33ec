"""Convolutions to test: a geometry, with the sizes of images, channels and batch."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxgan.nn.convolution_kernels import Geometry


class Case(NamedTuple):
    geometry: Geometry
    size: tuple[int, int]
    channels: tuple[int, int]
    batch: int

    @property
    def options(self):
        return {"strides": self.geometry.strides, "padding": self.geometry.padding}

    def arrays(self, dtype=jnp.float64):
        """x, w and y of matching shapes."""
        rng, (inputs, outputs) = np.random.default_rng(0), self.channels
        shapes = (
            (self.batch, *self.size, inputs),
            (*self.geometry.kernel_size, inputs, outputs),
            (self.batch, *self.geometry.down(self.size), outputs),
        )
        return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


# The layers of the chapter: 28 -> 14 -> 7 -> 4 -> 1.
CHAPTER = [
    Case(Geometry((4, 4), (2, 2), (1, 1)), (28, 28), (1, 5), 2),
    Case(Geometry((4, 4), (2, 2), (1, 1)), (14, 14), (5, 4), 2),
    Case(Geometry((3, 3), (2, 2), (1, 1)), (7, 7), (4, 3), 2),
    Case(Geometry((4, 4), (1, 1), (0, 0)), (4, 4), (3, 1), 2),
]
# To one pixel, from an image smaller than the kernel, and with a row and a column that no stride reaches.
ONE_PIXEL = Case(Geometry((3, 4), (2, 2), (1, 1)), (2, 3), (5, 4), 2)
# Back by tiles on CPU: many channels, and strides that divide the kernel; again with what no stride reaches.
TILES = Case(Geometry((4, 3), (2, 3), (1, 2)), (7, 6), (5, 4), 2)
