"""The parts of JAX without a public name that processes need, in one place.

``jax.distributed`` has no public way to ask for its key-value store, for the place of a process before the backends
start, or for the kind of cluster without initializing. Orbax takes the same store from here. A JAX that moves them
leaves single processes working; many processes then end with the import error that names this module.
"""

from typing import Any

try:
    from jax._src import clusters, distributed
except ImportError:  # a JAX that moved them: a process is alone
    clusters = distributed = None


def current_process() -> tuple[int, int, str]:
    """The number of processes, the index of this one and the coordinator's address, as JAX was initialized."""
    state = _state()
    return state.num_processes, state.process_id, state.coordinator_address


def key_value_store() -> Any:
    """The key-value store that the coordinator serves."""
    return _state().client


def cluster_types() -> list[Any]:
    """The kinds of cluster that JAX detects, in its order; none where it does not tell."""
    return [] if clusters is None else getattr(clusters.ClusterEnv, "_cluster_types", [])


def _state() -> Any:
    if distributed is None:
        raise ImportError("jaxgan.runtime.jax_internals: this JAX has no jax._src.distributed; use another release")
    return distributed.global_state
