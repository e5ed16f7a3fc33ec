"""What the numbers of a run depend on in JAX's own settings, held fixed whatever the user's environment says."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """Computes inside in 32 bits, with JAX's usual promotion and random numbers; also a decorator.

    ``JAX_ENABLE_X64``, ``JAX_DEFAULT_PRNG_IMPL``, ``JAX_THREEFRY_PARTITIONABLE``, ``JAX_RANDOM_SEED_OFFSET``,
    ``JAX_NUMPY_DTYPE_PROMOTION``, ``JAX_NUMPY_RANK_PROMOTION`` and ``JAX_TRANSFER_GUARD`` are for the user's own
    programs: here they would change the numbers of a run, or end it. With ``JAX_DISABLE_JIT`` a step takes minutes.
    """
    with (
        _no_seed_offset(),
        jax.enable_x64(False),
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
        jax.transfer_guard("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.disable_jit(False),
    ):
        yield


@contextlib.contextmanager
def _no_seed_offset() -> Iterator[None]:
    """Takes away what JAX adds to every seed, which is no setting of one thread."""
    offset = jax.config.jax_random_seed_offset  # pyright: ignore[reportAttributeAccessIssue]  # set at run time
    jax.config.update("jax_random_seed_offset", 0)
    try:
        yield
    finally:
        jax.config.update("jax_random_seed_offset", offset)
