"""Many processes as one run: how they find one another, agree before anything is written, and end together.

Each process runs the same command and the same Python; only the arrays are shared. A function that speaks of all
processes must be called by every process, in the same order. Alone, a process gets its own answer at once.

Tested with two and four processes on one machine (CPU, collectives by gloo). Not tested, for want of the hardware: TPU
slices of several hosts, GPUs under Slurm, and a network between the processes. There JAX's own detection finds them.
"""

import contextlib
import itertools
import json
import os
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, cast

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxgan.config import Run
from jaxgan.errors import UserError
from jaxgan.runtime import jax_internals
from jaxgan.runtime.cluster import START_SECONDS, Process, find_process

T = TypeVar("T")

HEARTBEAT_SECONDS = 30  # without a heartbeat after which a process counts as dead, and the others end
WAIT_SECONDS = 3600  # for a process that lives but prepares data or draws

_exchanges = itertools.count()  # numbers the calls of all_gather_text, which are the same in all processes


def initialize(run: Run, *, program: str) -> Process | None:
    """Makes this process one of many where flags or the environment say so; call it before JAX's backends start.

    Flags win over the environment, which is that of a Cloud TPU slice, Slurm, Open MPI or Kubernetes, as JAX detects
    them; where ``mpi4py`` is installed, that of any MPI. A single process is left as it is.

    Raises:
      UserError: if what is known is incomplete or contradicts itself.
    """
    if jax.distributed.is_initialized():  # by whoever calls this package, or by an earlier run
        process = jax_internals.current_process()
        return Process(*process) if process[0] > 1 else None
    process = find_process(run)
    if process is None:
        return None
    if process.index == 0:
        _require_free_port(process.coordinator)
    _take_place(process)
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


def _require_free_port(coordinator: str) -> None:
    """Refuses a port on which another run meets: gRPC would share it, and their processes would mix."""
    try:
        socket.create_server(("", int(coordinator.rpartition(":")[2]))).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(
            f"--coordinator: {coordinator!r} is not allowed, its port cannot be opened ({reason}); "
            "give each run a port of its own"
        ) from error


def _take_place(process: Process) -> None:
    """Refuses a place that a process of another run on this machine has: JAX would end that run as if it restarted.

    The place is a name of Linux's, which the process holds to its end. Elsewhere nobody looks.
    """
    if sys.platform != "linux":
        return
    name = f"\0jaxgan {process.coordinator[-80:]} {process.index}"
    with socket.socket(socket.AF_UNIX) as place:
        try:
            place.bind(name)
        except OSError as error:
            raise UserError(
                f"--coordinator: {process.coordinator!r} is not allowed, process {process.index} of another run "
                "on this machine meets there; give each run a port of its own"
            ) from error
        place.detach()


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
    """Gathers a text from all processes, by process; needs no device. The topic is for logs."""
    if not jax.distributed.is_initialized():
        return [text]
    count, index, _ = jax_internals.current_process()
    number = next(_exchanges)
    keys = [f"jaxgan/{number}/{topic}/{i}" for i in range(count)]
    store = jax_internals.key_value_store()
    store.key_value_set(keys[index], text)
    return [store.blocking_key_value_get(key, WAIT_SECONDS * 1000) for key in keys]


def on_all_processes(topic: str, work: Callable[[], T]) -> T:
    """Runs ``work`` on every process; if it raises UserError on any of them, raises on all. The topic is for logs.

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
