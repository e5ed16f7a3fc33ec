"""Fixes the JAX settings that the numbers of a run depend on, regardless of the user's environment."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """Computes in 32 bits, with JAX's default promotion and random numbers; also works as a decorator.

    ``JAX_ENABLE_X64``, ``JAX_DEFAULT_PRNG_IMPL``, ``JAX_THREEFRY_PARTITIONABLE``, ``JAX_RANDOM_SEED_OFFSET``,
    ``JAX_NUMPY_DTYPE_PROMOTION``, ``JAX_NUMPY_RANK_PROMOTION`` and ``JAX_TRANSFER_GUARD`` have no effect inside: they
    would change the numbers of a run, or end it. Nor has ``JAX_DISABLE_JIT``, with which a step takes minutes.
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
    """Disables the offset that JAX adds to every seed; unlike the other settings, it is not thread-local."""
    offset = jax.config.jax_random_seed_offset  # pyright: ignore[reportAttributeAccessIssue]  # set at run time
    jax.config.update("jax_random_seed_offset", 0)
    try:
        yield
    finally:
        jax.config.update("jax_random_seed_offset", offset)
