"""Where this process stands among those of a run, by flags and by what started it."""

import importlib.util
import logging
import os
from typing import Any, NamedTuple

from jaxgan.config import Run
from jaxgan.errors import UserError
from jaxgan.runtime import jax_internals

START_SECONDS = 120  # in which all processes of a run must have started

_log = logging.getLogger(__name__)


class Process(NamedTuple):
    """The place of this process among those of a run."""

    count: int  # pyright: ignore[reportIncompatibleMethodOverride]
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    coordinator: str  # HOST:PORT of process 0
    detection: str | None = None  # the name of JAX's detection where it must be asked for by name


def find_process(run: Run) -> Process | None:
    """Finds the place of this process, from flags and the environment; None if it is alone.

    Raises:
      UserError: if what is known is incomplete or contradicts itself.
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
                f"--coordinator: mpirun started {size} processes, which JAX tells apart only by mpi4py; install it"
            )
        return None
    coordinator = run.coordinator
    if coordinator is None and count is not None:
        port = os.environ.get("JAX_COORDINATOR_PORT")
        coordinator = _ask(cluster, "get_coordinator_address", START_SECONDS, override_coordinator_port=port)
    known = {"--coordinator": coordinator, "--process-count": count, "--process-index": index}
    if missing := [flag for flag, value in known.items() if value is None]:
        raise UserError(
            f"{missing[0]}: must be given with {' and '.join(flag for flag in known if flag != missing[0])}"
        )
    assert count is not None
    assert index is not None
    assert coordinator is not None
    if not index < count:
        raise UserError(f"--process-index: {index} is not allowed, {count} processes are numbered 0 to {count - 1}")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"--coordinator: {coordinator!r} is not allowed, it must be HOST:PORT, such as 10.0.0.2:1234")
    return Process(count, index, coordinator, cluster.name if cluster and cluster.opt_in_only_method else None)


def _cluster() -> Any:
    """The kind of cluster that started this process, a class of JAX's; None for none."""
    by_mpi = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} & os.environ.keys() and importlib.util.find_spec("mpi4py")
    try:
        candidates = [c for c in jax_internals.cluster_types() if by_mpi or not c.opt_in_only_method]
        return next((c for c in candidates if c.is_env_present()), None)
    except Exception as error:  # a Cloud TPU machine whose metadata server does not answer, for one
        _log.warning("cannot tell whether this is one process of many (%s): it goes on alone", _in_one_line(error))
        return None


def _ask(cluster: Any, question: str, *about: Any, **named: Any) -> Any:
    """An answer of a cluster; None without a cluster, or if it does not answer, which is said."""
    if cluster is None:
        return None
    try:
        return getattr(cluster, question)(*about, **named)
    except Exception as error:  # a pod that may not look at the others, for one
        reason = f"{cluster.name} does not answer {question} ({_in_one_line(error)})"
        _log.warning("%s: without --coordinator, --process-count and --process-index a process is alone", reason)
        return None


def _in_one_line(error: Exception) -> str:
    return " ".join(repr(error).split())[:200]


def _require_srun() -> None:
    """Refuses one process that Slurm started for a job of many tasks: it would wait for the others, or leave them idle.

    srun starts a process for each task. A batch script, or a shell of ``srun --pty``, is one process.
    """
    tasks = os.environ.get("SLURM_NTASKS", "")
    if not tasks.isdecimal() or int(tasks) < 2 or "SLURM_PROCID" not in os.environ:
        return
    if {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} & os.environ.keys():  # mpirun started this one
        return
    if "SLURM_STEP_NODELIST" not in os.environ or "SLURM_PTY_PORT" in os.environ:
        raise UserError(
            f"--process-count: Slurm gave this job {tasks} tasks and started one process; "
            "start it by srun, or give --process-count 1 to train alone"
        )
