"""Adam whose corrections of bias are as exact in single precision as PyTorch's."""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree


def adam(
    learning_rate: float | optax.Schedule, b1: float = 0.9, b2: float = 0.999, *, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Builds ``optax.adam`` with the same state, but for a rounding error.

    In single precision optax subtracts 0.999^t from 1, which leaves the correction of the first steps wrong by 1e-5 to
    5e-5 and makes all of their updates too large or too small together. Here it is -expm1(t log 0.999). Both
    corrections go into one step size and one epsilon, which saves two divisions an element.

    Args:
      learning_rate: step size, or what it is after so many steps.
      b1: decay of the gradient's mean.
      b2: decay of the squared gradient's mean.
      eps: added to the root of the latter, after its correction.

    Returns:
      The transformation.

    References:
      Kingma and Ba, Adam, 2015, algorithm 1 and the remark on efficiency in section 2.
    """
    plain = optax.adam(learning_rate, b1, b2, eps)

    def update(gradients: PyTree, state: optax.OptState, params: PyTree = None) -> tuple[PyTree, optax.OptState]:
        _, state = plain.update(gradients, state, params)  # its moments and count; its updates are not used
        moments, *_ = state
        root = jnp.sqrt(_correction(b2, moments.count))
        rate = learning_rate(moments.count - 1) if callable(learning_rate) else learning_rate
        size, epsilon = rate * root / _correction(b1, moments.count), eps * root

        def step(mean: Array, square: Array) -> Array:
            return -size.astype(mean.dtype) * mean / (jnp.sqrt(square) + epsilon.astype(mean.dtype))

        return jax.tree.map(step, moments.mu, moments.nu), state

    return optax.GradientTransformation(plain.init, update)


def _correction(decay: float, count: Int[Array, ""]) -> Float[Array, ""]:
    """One minus the decay to the power of the count."""
    return -jnp.expm1(count * math.log(decay)) if decay else jnp.ones(())
