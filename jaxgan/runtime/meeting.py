"""How the processes of one run find one another, by flags or by what started them.

Proved with two and four processes on one machine (CPU, collectives by gloo). Not proved, for want of the hardware: TPU
slices of several hosts, GPUs under Slurm, and a network between the processes. There, what finds the processes is
JAX's own detection, unchanged.
"""

import contextlib
import importlib.util
import logging
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

import jax
from jax._src import distributed
from jax._src.clusters import ClusterEnv  # what initialize() asks, but it cannot be asked without initializing

from jaxgan.config import Config, Run
from jaxgan.errors import UserError

MEETING_SECONDS = 120  # in which all processes of a run must have started
SILENT_SECONDS = 30  # without a sign of life after which a process counts as dead, and the others end

_log = logging.getLogger("jaxgan.runtime")


class Place(NamedTuple):
    """The place of this process among those of a run."""

    count: int
    index: int
    coordinator: str  # HOST:PORT at which process 0 is met
    detection: str | None = None  # what JAX has to ask for the devices of this process, where it does not so unasked


def join(config: Config) -> Place | None:
    """Makes this process one of many where flags or the environment say so; call it before JAX's backends start.

    Flags win over the environment, which is that of a Cloud TPU slice, Slurm, Open MPI or Kubernetes, as JAX detects
    them; where ``mpi4py`` is installed, that of any MPI. One process is left as it is.

    Args:
      config: the experiment, with what the flags say of its processes.

    Returns:
      The place of this process; None if it is alone.

    Raises:
      UserError: if what is known is incomplete or contradicts itself.
    """
    if jax.distributed.is_initialized():  # by whoever calls this package
        state = distributed.global_state
        return (
            Place(state.num_processes, state.process_id, state.coordinator_address) if state.num_processes > 1 else None
        )
    place = find(config.run)
    if place is None:
        return None
    with _impatience(config.kind, place):
        try:
            jax.distributed.initialize(
                place.coordinator,
                place.count,
                place.index,
                cluster_detection_method=place.detection,
                initialization_timeout=2 * MEETING_SECONDS,  # when it is over JAX aborts: we speak first
                heartbeat_timeout_seconds=SILENT_SECONDS,
                shutdown_timeout_seconds=SILENT_SECONDS,
            )
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"--coordinator: {place.coordinator!r} cannot be set up as process 0 ({reason})") from error
    return place


def find(run: Run) -> Place | None:
    """Finds the place of this process, from flags and the environment; see :func:`join`."""
    if run.process_count == 1:
        return None
    cluster = None if None not in (run.coordinator, run.process_count, run.process_index) else _cluster()
    count = run.process_count or (cluster.get_process_count() if cluster else None)
    if count == 1 and run.coordinator is None and run.process_index is None:
        return None
    index = run.process_index
    if index is None and cluster:
        index = cluster.get_process_id()
    if count is None and index is None and run.coordinator is None:
        if (size := int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1))) > 1:
            raise UserError(
                f"--coordinator: mpirun started {size} processes, whom JAX tells apart only by mpi4py; install it"
            )
        return None
    coordinator = run.coordinator
    if coordinator is None and cluster:
        port = os.environ.get("JAX_COORDINATOR_PORT")
        coordinator = cluster.get_coordinator_address(MEETING_SECONDS, override_coordinator_port=port)
    known = {"--coordinator": coordinator, "--process-count": count, "--process-index": index}
    if missing := [flag for flag, value in known.items() if value is None]:
        raise UserError(
            f"{missing[0]}: must be given with {' and '.join(flag for flag in known if flag != missing[0])}"
        )
    if not index < count:
        raise UserError(f"--process-index: {index} is not allowed, {count} processes are numbered 0 to {count - 1}")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"--coordinator: {coordinator!r} is not allowed, it must be HOST:PORT, such as 10.0.0.2:1234")
    return Place(count, index, coordinator, cluster.name if cluster and cluster.opt_in_only_method else None)


def _cluster() -> type[ClusterEnv] | None:
    """What kind of cluster this process was started by, if any."""
    by_mpi = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} & os.environ.keys() and importlib.util.find_spec("mpi4py")
    try:
        candidates = [c for c in ClusterEnv._cluster_types if by_mpi or not c.opt_in_only_method]
        return next((c for c in candidates if c.is_env_present()), None)
    except Exception as error:  # a Cloud TPU machine whose metadata server does not answer, for one
        _log.warning("cannot tell whether this is one process of many (%r): it goes on alone", error)
        return None


@contextlib.contextmanager
def _impatience(program: str, place: Place) -> Iterator[None]:
    """Ends this process in one line if the others do not come; JAX would abort it with a stack trace."""

    def give_up() -> None:
        where = f"{place.count} processes did not all meet at {place.coordinator} within {MEETING_SECONDS} s"
        advice = "start one for each --process-index, on hosts that reach that address"
        os.write(2, f"{program}: error: --coordinator: {where}; {advice}\n".encode())
        os._exit(2)

    timer = threading.Timer(MEETING_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
