"""Finds the process index, process count and coordinator of a run, from flags and from the cluster."""

import importlib.util
import logging
import os
from typing import Any, NamedTuple

from jaxgan.config import Run
from jaxgan.errors import UserError
from jaxgan.runtime import jax_internals

START_SECONDS = 120  # time within which all processes of a run must start

_log = logging.getLogger(__name__)


class Process(NamedTuple):
    """This process as one of the processes of a run."""

    count: int  # pyright: ignore[reportIncompatibleMethodOverride]
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    coordinator: str  # HOST:PORT of process 0
    detection: str | None = None  # JAX's `cluster_detection_method`, if it is opt-in


def find_process(run: Run) -> Process | None:
    """Finds the index and the count of processes, from flags and the environment; None for a single process.

    Raises:
      UserError: if flags and environment are incomplete or contradict each other.
    """
    if run.process_count == 1:
        return None
    cluster = None if None not in (run.coordinator, run.process_count, run.process_index) else _cluster()
    count = run.process_count or _ask(cluster, "get_process_count")
    if count == 1 and run.coordinator is None and run.process_index is None:
        return None
    if run.process_count is None and (cluster is None or cluster.name == "slurm"):
        _require_srun()
    index = run.process_index
    if index is None and count is not None:
        index = _ask(cluster, "get_process_id")
    if count is None and index is None and run.coordinator is None:
        if (size := int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1))) > 1:
            raise UserError(
                f"--coordinator: mpirun started {size} processes, which JAX detects only with mpi4py; install it"
            )
        return None
    coordinator = run.coordinator
    if coordinator is None and count is not None:
        port = os.environ.get("JAX_COORDINATOR_PORT")
        coordinator = _ask(cluster, "get_coordinator_address", START_SECONDS, override_coordinator_port=port)
    flags = {"--coordinator": coordinator, "--process-count": count, "--process-index": index}
    if missing := [flag for flag, value in flags.items() if value is None]:
        raise UserError(
            f"{missing[0]}: must be given with {' and '.join(flag for flag in flags if flag != missing[0])}"
        )
    assert count is not None
    assert index is not None
    assert coordinator is not None
    if not index < count:
        raise UserError(f"--process-index: {index} is not allowed, {count} processes are numbered 0 to {count - 1}")
    host, _, port = coordinator.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"--coordinator: {coordinator!r} is not allowed, it must be HOST:PORT, such as 10.0.0.2:1234")
    return Process(count, index, coordinator, cluster.name if cluster and cluster.opt_in_only_method else None)


def _cluster() -> Any:
    """Returns JAX's class for the cluster that started this process; None outside of clusters."""
    by_mpi = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} & os.environ.keys() and importlib.util.find_spec("mpi4py")
    try:
        candidates = [c for c in jax_internals.cluster_types() if by_mpi or not c.opt_in_only_method]
        return next((c for c in candidates if c.is_env_present()), None)
    except Exception as error:  # for example a Cloud TPU machine whose metadata server does not answer
        _log.warning("cannot detect the cluster (%s): continuing as a single process", _in_one_line(error))
        return None


def _ask(cluster: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """Calls a method of a cluster; returns None without a cluster, and warns and returns None if the call fails."""
    if cluster is None:
        return None
    try:
        return getattr(cluster, method)(*args, **kwargs)
    except Exception as error:  # for example a pod that may not query the others
        reason = f"{cluster.name} does not answer {method} ({_in_one_line(error)})"
        _log.warning("%s: without --coordinator, --process-count and --process-index this is a single process", reason)
        return None


def _in_one_line(error: Exception) -> str:
    return " ".join(repr(error).split())[:200]


def _require_srun() -> None:
    """Refuses a lone process in a Slurm job of several tasks: it would wait for the others, or leave them idle.

    srun starts one process per task. A batch script, or a shell of ``srun --pty``, is a lone process.
    """
    tasks = os.environ.get("SLURM_NTASKS", "")
    if not tasks.isdecimal() or int(tasks) < 2 or "SLURM_PROCID" not in os.environ:
        return
    if {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} & os.environ.keys():  # mpirun started this one
        return
    if "SLURM_STEP_NODELIST" not in os.environ or "SLURM_PTY_PORT" in os.environ:
        raise UserError(
            f"--process-count: this Slurm job has {tasks} tasks but one process; "
            "start it with srun, or give --process-count 1 to train in this process only"
        )
