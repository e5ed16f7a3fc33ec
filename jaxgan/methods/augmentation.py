"""Small deformations of images that leave their class alone."""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, UInt32

from jaxgan.nn import noise

WORDS = 6  # random words that an image's deformation takes
ROTATION, SHEAR, SCALE = 0.2, 0.2, 0.12  # radians, slope, logarithm
SHIFT = 2.5  # pixels
BACKGROUND = -1.0

Images = Float[Array, "batch height width channels"]


def deform(images: Images, bits: UInt32[Array, "batch 6"]) -> Images:
    """Turns, shears, scales and shifts each image a little, by amounts of its own.

    Args:
      images: values in [-1, 1] on a black background.
      bits: random words, :data:`WORDS` an image.

    Returns:
      The deformed images, between pixels linear in their neighbours.
    """
    return jax.vmap(_affine)(images, noise.uniform(bits))


def _affine(image: Float[Array, "height width channels"], amounts: Float[Array, " 6"]) -> Array:
    angle, shear = ROTATION * amounts[0], SHEAR * amounts[1]
    turn = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    matrix = turn @ jnp.array([[1.0, shear], [0.0, 1.0]]) * jnp.exp(SCALE * amounts[2:4])[:, None]
    centre = (jnp.array(image.shape[:2]) - 1) / 2
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, image.shape[:2]), indexing="ij"))
    places = jnp.einsum("ij,jhw->ihw", matrix, grid - centre[:, None, None])
    places += (centre + SHIFT * amounts[4:])[:, None, None]
    return jax.vmap(lambda channel: map_coordinates(channel, places, order=1, cval=BACKGROUND), in_axes=2, out_axes=2)(
        image
    )
