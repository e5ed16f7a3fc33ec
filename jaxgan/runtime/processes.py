"""Many processes as one run: how they find one another, agree before anything is written, and end together.

Each process runs the same command and the same Python; only the arrays are shared. Where it says "all", every process
must come to the call, in the same order.

Proved with two and four processes on one machine (CPU, collectives by gloo). Not proved, for want of the hardware: TPU
slices of several hosts, GPUs under Slurm, and a network between the processes. There, what finds the processes is
JAX's own detection, unchanged.
"""

import contextlib
import dataclasses
import importlib.util
import json
import logging
import os
import re
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax._src import distributed  # the key-value store of jax.distributed, which Orbax takes from here too
from jax._src.clusters import ClusterEnv  # what initialize() asks, but it cannot be asked without initializing
from jax.experimental import multihost_utils

from jaxgan.config import Config, Run
from jaxgan.errors import UserError

T = TypeVar("T")

MEETING_SECONDS = 120  # in which all processes of a run must have started
SILENT_SECONDS = 30  # without a sign of life after which a process counts as dead, and the others end
WAITING_SECONDS = 3600  # for a process that lives but prepares data or draws
OWN_FIELDS = {"process_index", "coordinator", "data_dir"}  # of a run; all others must be the same in all processes

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


def leads() -> bool:
    """Whether this process is the one that writes and prints."""
    return not jax.distributed.is_initialized() or distributed.global_state.process_id == 0


def exchange(topic: str, text: str = "") -> list[str]:
    """Gives a text to all processes, and waits for theirs; needs no device.

    Args:
      topic: a name that is used once in the life of a process.
      text: what this process has to say.

    Returns:
      The texts by process.
    """
    if not jax.distributed.is_initialized():
        return [text]
    state = distributed.global_state
    keys = [f"jaxgan/{topic}/{index}" for index in range(state.num_processes)]
    state.client.key_value_set(keys[state.process_id], text)
    return [state.client.blocking_key_value_get(key, WAITING_SECONDS * 1000) for key in keys]


def agree(number: int) -> int:
    """Takes the number that process 0 has in all processes: what follows from a clock or a folder may differ."""
    return number if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def together(topic: str, work: Callable[[], T]) -> T:
    """Does in all processes what a mistake of the user may prevent in one, which then ends all, each in one line.

    Args:
      topic: a name that is used once in the life of a process.
      work: what to do.

    Returns:
      What it returns here.

    Raises:
      UserError: the mistake, with the number of the process where that is another one.
    """
    result, mistake = None, None
    try:
        result = work()
    except (UserError, OSError) as error:
        if not jax.distributed.is_initialized():
            raise
        mistake = error
    mistakes = exchange(topic, "" if mistake is None else str(mistake))
    if mistake is not None:
        raise mistake
    for index, words in enumerate(mistakes):
        if words:
            raise UserError(f"in process {index}, {words}")
    return result


def require_same_flags(config: Config) -> None:
    """Makes sure that all processes were given the same run.

    Args:
      config: what this one was given.

    Raises:
      UserError: naming the first flag that differs.
    """

    def flags(part: Any) -> dict[str, str]:
        return {f.name: str(getattr(part, f.name)) for f in dataclasses.fields(part) if f.name not in OWN_FIELDS}

    mine = {"kind": config.kind, **flags(config.method), **flags(config.run)}
    first, *others = map(json.loads, exchange("flags", json.dumps(mine)))
    for index, other in enumerate(others, start=1):
        for name in first.keys() & other.keys():
            if first[name] != other[name]:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(
                    f"{flag}: {other[name]} in process {index} but {first[name]} in process 0; give all the same"
                )


def require_shared(folder: Path, *, seconds: float = 5) -> None:
    """Makes sure that all processes see one folder, by a file that process 0 puts there for a moment.

    Args:
      folder: where checkpoints will lie.
      seconds: how long a network's file system may take to show a new file.

    Raises:
      UserError: if some process does not see the file.
    """
    name = exchange("mark", f".meeting-{secrets.token_hex(8)}")[0]
    if leads():
        (folder / name).touch()
    exchange("marked")
    deadline = time.monotonic() + seconds
    while not (seen := folder.is_dir() and name in os.listdir(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    blind = [index for index, answer in enumerate(exchange("seen", "yes" * seen)) if not answer]
    if leads():
        (folder / name).unlink()
    if blind:
        where = f"process {blind[0]} does not see what process 0 writes in {str(folder)!r}"
        raise UserError(f"--workdir: {where}; give a folder that all hosts share")


@contextlib.contextmanager
def end_at_once(program: str, *, common: tuple[type[Exception], ...], kept: Callable[[], str]) -> Iterator[None]:
    """Ends one process of many right where it fails, so that the others learn of it now and not after a time-out.

    A process that goes closes its connections, which fails the collectives of the others: at once where the network
    says so, as between CPUs. Otherwise, and when a process only hangs, JAX's coordinator misses it after
    ``SILENT_SECONDS`` and aborts the others, in words of its own and with exit code 134; so it does, at once, when
    process 0 is gone, which is the coordinator.

    Args:
      program: the name of the command.
      common: exceptions that all processes meet at the same step, and that need no hurry.
      kept: says what was saved.

    Yields:
      Nothing; what may fail goes on inside. A process that is alone fails as it would without.
    """
    try:
        yield
    except common:
        raise
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        place = distributed.global_state
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if re.match("[A-Z_]+: ", reason):  # a status of XLA's: jit raises it under several types
            lost = "out of memory" if "RESOURCE_EXHAUSTED" in reason else "another process or a device is gone"
            reason = f"{lost} ({reason})"
        elif not isinstance(error, OSError | KeyboardInterrupt):
            traceback.print_exc()
        advice = "when all have ended, run the same command on every host to go on"
        who = f"process {place.process_id} of {place.num_processes}"
        print(f"{program}: error: {who} stopped: {reason}; {kept()}; {advice}", file=sys.stderr, flush=True)
        if place.process_id == 0:
            time.sleep(1)  # without the coordinator JAX aborts the others before they have spoken
        os._exit(1)
