"""Many processes as one run: how they find one another, agree before anything is written, and end together.

Each process runs the same command and the same Python; only the arrays are shared. A function that speaks of all
processes must be called by every process, in the same order. Alone, a process gets its own answer at once.

Tested with two and four processes on one machine (CPU, collectives by gloo). Not tested, for want of the hardware: TPU
slices of several hosts, GPUs under Slurm, and a network between the processes. There JAX's own detection finds them.
"""

import contextlib
import importlib.util
import itertools
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxgan.config import Run
from jaxgan.errors import UserError
from jaxgan.runtime import jax_internals

T = TypeVar("T")

START_SECONDS = 120  # in which all processes of a run must have started
HEARTBEAT_SECONDS = 30  # without a heartbeat after which a process counts as dead, and the others end
WAIT_SECONDS = 3600  # for a process that lives but prepares data or draws

_log = logging.getLogger("jaxgan.runtime")
_exchanges = itertools.count()  # numbers the calls of all_gather_text, which are the same in all processes


class Process(NamedTuple):
    """The place of this process among those of a run."""

    count: int  # pyright: ignore[reportIncompatibleMethodOverride]
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]
    coordinator: str  # HOST:PORT of process 0
    detection: str | None = None  # the name of JAX's detection where it must be asked for by name


def initialize(run: Run, *, program: str) -> Process | None:
    """Makes this process one of many where flags or the environment say so; call it before JAX's backends start.

    Flags win over the environment, which is that of a Cloud TPU slice, Slurm, Open MPI or Kubernetes, as JAX detects
    them; where ``mpi4py`` is installed, that of any MPI. A single process is left as it is.

    Args:
      run: what the flags say of its processes.
      program: the name of the command, for errors.

    Returns:
      The place of this process; None if it is alone.

    Raises:
      UserError: if what is known is incomplete or contradicts itself.
    """
    if jax.distributed.is_initialized():  # by whoever calls this package, or by an earlier run
        process = jax_internals.current_process()
        return Process(*process) if process[0] > 1 else None
    process = find_process(run)
    if process is None:
        return None
    with _give_up_after(START_SECONDS, program, process):
        try:
            jax.distributed.initialize(
                process.coordinator,
                process.count,
                process.index,
                cluster_detection_method=process.detection,
                initialization_timeout=2 * START_SECONDS,  # when it is over JAX aborts: we speak first
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=HEARTBEAT_SECONDS,
            )
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            where = f"--coordinator: {process.coordinator!r}"
            raise UserError(f"{where} cannot be set up as process 0 ({reason})") from error
    return process


def find_process(run: Run) -> Process | None:
    """Finds the place of this process, from flags and the environment; see :func:`initialize`."""
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


@contextlib.contextmanager
def _give_up_after(seconds: float, program: str, process: Process) -> Iterator[None]:
    """Ends this process in one line if the others do not come; JAX would abort it with a stack trace."""

    def give_up() -> None:
        where = f"{process.count} processes did not all meet at {process.coordinator} within {seconds} s"
        advice = "start one for each --process-index, on hosts that reach that address"
        os.write(2, f"{program}: error: --coordinator: {where}; {advice}\n".encode())
        os._exit(2)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_main_process() -> bool:
    """Whether this process is the one that writes and prints."""
    return not jax.distributed.is_initialized() or jax_internals.current_process()[1] == 0


def broadcast_from_main(number: int) -> int:
    """Returns the number of process 0 in all processes: what follows from a clock or a folder may differ."""
    return number if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def all_gather_text(topic: str, text: str = "") -> list[str]:
    """Gathers a text from all processes; needs no device.

    Args:
      topic: what it is about, for logs.
      text: what this process has to say.

    Returns:
      The texts by process.
    """
    if not jax.distributed.is_initialized():
        return [text]
    count, index, _ = jax_internals.current_process()
    number = next(_exchanges)
    keys = [f"jaxgan/{number}/{topic}/{i}" for i in range(count)]
    store = jax_internals.key_value_store()
    store.key_value_set(keys[index], text)
    return [store.blocking_key_value_get(key, WAIT_SECONDS * 1000) for key in keys]


def on_all_processes(topic: str, work: Callable[[], T]) -> T:
    """Runs ``work`` on every process; if it raises UserError on any of them, raises on all.

    Args:
      topic: what it is about, for logs.
      work: what to do.

    Returns:
      What ``work`` returns here.

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
    mistakes = all_gather_text(topic, "" if mistake is None else str(mistake))
    if mistake is not None:
        raise mistake
    for index, words in enumerate(mistakes):
        if words:
            raise UserError(f"in process {index}, {words}")
    return cast(T, result)


def require_same_flags(flags: Mapping[str, str]) -> None:
    """Requires that all processes were given the same flags.

    Args:
      flags: the fields of this process, as text.

    Raises:
      UserError: naming the first flag that differs.
    """
    first, *others = map(json.loads, all_gather_text("flags", json.dumps(flags)))
    for index, other in enumerate(others, start=1):
        for name in first.keys() & other.keys():
            if first[name] != other[name]:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(
                    f"{flag}: {other[name]} in process {index} but {first[name]} in process 0; give all the same"
                )


@contextlib.contextmanager
def end_at_once(program: str, *, common: tuple[type[Exception], ...], kept: Callable[[], str]) -> Iterator[None]:
    """Ends one process of many where it fails, so that the others learn of it now and not after a time-out.

    A process that ends closes its connections, which fails the collectives of the others: at once where the network
    says so, as between CPUs. Otherwise, and when a process only hangs, JAX's coordinator misses it after
    ``HEARTBEAT_SECONDS`` and aborts the others, in words of its own and with exit code 134; so it does, at once, when
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
        count, index, _ = jax_internals.current_process()
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if re.match("[A-Z_]+: ", reason):  # a status of XLA's: jit raises it under several types
            lost = "out of memory" if "RESOURCE_EXHAUSTED" in reason else "another process or a device is gone"
            reason = f"{lost} ({reason})"
        elif not isinstance(error, OSError | KeyboardInterrupt):
            traceback.print_exc()
        advice = "when all have ended, run the same command on every host to go on"
        who = f"process {index} of {count}"
        print(f"{program}: error: {who} stopped: {reason}; {kept()}; {advice}", file=sys.stderr, flush=True)
        if index == 0:
            time.sleep(1)  # without the coordinator JAX aborts the others before they have spoken
        os._exit(1)
