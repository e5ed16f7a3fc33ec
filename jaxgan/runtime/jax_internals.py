"""The private parts of JAX that distributed runs need, in one place.

``jax.distributed`` has no public API for its key-value store, for the process index before the backends start, or for
the type of cluster without initialization. Orbax uses the same private store. If a JAX release moves these parts,
single processes still work; distributed runs end with the import error that names this module.
"""

from typing import Any

try:
    from jax._src import clusters, distributed
except ImportError:  # a JAX release that moved them: only single processes work
    clusters = distributed = None


def current_process() -> tuple[int, int, str]:
    """Returns the process count, the index of this process and the coordinator's address, as JAX was initialized."""
    state = _state()
    return state.num_processes, state.process_id, state.coordinator_address


def key_value_store() -> Any:
    """Returns the key-value store that the coordinator serves."""
    return _state().client


def cluster_types() -> list[Any]:
    """Returns the types of cluster that JAX detects, in its order; empty if JAX does not list them."""
    return [] if clusters is None else getattr(clusters.ClusterEnv, "_cluster_types", [])


def _state() -> Any:
    if distributed is None:
        raise ImportError("jaxgan.runtime.jax_internals: this JAX has no jax._src.distributed; use another release")
    return distributed.global_state
