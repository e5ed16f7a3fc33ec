"""What the numbers of a run depend on in JAX's own settings, held fixed whatever the user's environment says."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """Computes inside in 32 bits, with JAX's usual promotion and random numbers; also a decorator.

    ``JAX_ENABLE_X64``, ``JAX_DEFAULT_PRNG_IMPL``, ``JAX_NUMPY_DTYPE_PROMOTION`` and ``JAX_NUMPY_RANK_PROMOTION`` are
    for the user's own programs: here they would change the numbers of a run, or end it.

    Yields:
      Nothing.
    """
    with (
        jax.enable_x64(False),
        jax.default_prng_impl("threefry2x32"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield
