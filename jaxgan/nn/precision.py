"""Where half precision ends: products may be computed in bfloat16, all else is in float32 at least."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def widened(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Takes activations to float32 unless they are wider: for normalization, outputs, losses and penalties."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
