"""Distributed runs: processes connect, agree before anything is written, and end together.

Every process runs the same command and the same Python code; only the arrays are shared. Every process must call the
functions that involve all processes, in the same order. In a single process they return immediately.

Tested with two and four processes on one machine (CPU, gloo collectives). Not tested, for lack of hardware: TPU slices
of several hosts, GPUs under Slurm, and processes on a network. These rely on JAX's cluster detection.
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

HEARTBEAT_SECONDS = 30  # a process without a heartbeat for this long counts as dead, and the others end
WAIT_SECONDS = 3600  # timeout for a live process that prepares data or draws figures

_exchanges = itertools.count()  # numbers the calls of all_gather_text, alike in all processes


def initialize(run: Run, *, program: str) -> Process | None:
    """Joins a distributed run if flags or the environment name one; call it before JAX's backends start.

    Flags override the environment. JAX detects Cloud TPU slices, Slurm, Open MPI and Kubernetes, and any MPI if
    ``mpi4py`` is installed. Returns None for a single process.

    Raises:
      UserError: if flags and environment are incomplete or contradict each other.
    """
    if jax.distributed.is_initialized():  # by the calling program, or by an earlier run
        process = jax_internals.current_process()
        return Process(*process) if process[0] > 1 else None
    process = find_process(run)
    if process is None:
        return None
    if process.index == 0:
        _require_free_port(process.coordinator)
    _reserve_index(process)
    with _give_up_after(START_SECONDS, program, process):
        try:
            jax.distributed.initialize(
                process.coordinator,
                process.count,
                process.index,
                cluster_detection_method=process.detection,
                initialization_timeout=2 * START_SECONDS,  # JAX aborts then; _give_up_after ends first
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=HEARTBEAT_SECONDS,
            )
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            where = f"--coordinator: {process.coordinator!r}"
            raise UserError(f"{where} cannot be set up as process 0 ({reason})") from error
    return process


def _require_free_port(coordinator: str) -> None:
    """Refuses a port that another run uses: gRPC would share it, and their processes would mix."""
    try:
        socket.create_server(("", int(coordinator.rpartition(":")[2]))).close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(
            f"--coordinator: {coordinator!r} is not allowed, its port cannot be opened ({reason}); "
            "give each run its own port"
        ) from error


def _reserve_index(process: Process) -> None:
    """Refuses a process index that another run on this machine uses: JAX would end that run as if it restarted.

    The process reserves it by an abstract socket name until it exits. Only Linux has those; others skip the check.
    """
    if sys.platform != "linux":
        return
    name = f"\0jaxgan {process.coordinator[-80:]} {process.index}"
    with socket.socket(socket.AF_UNIX) as reservation:
        try:
            reservation.bind(name)
        except OSError as error:
            raise UserError(
                f"--coordinator: {process.coordinator!r} is not allowed, process {process.index} of another run "
                "on this machine uses it; give each run its own port"
            ) from error
        reservation.detach()


@contextlib.contextmanager
def _give_up_after(seconds: float, program: str, process: Process) -> Iterator[None]:
    """Ends this process with one line if the others do not connect; JAX would abort it with a stack trace."""

    def give_up() -> None:
        reason = f"not all {process.count} processes connected to {process.coordinator} within {seconds} s"
        advice = "start one for each --process-index, on hosts that reach this address"
        os.write(2, f"{program}: error: --coordinator: {reason}; {advice}\n".encode())
        os._exit(2)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_main_process() -> bool:
    """Whether this is the main process, the only one that writes and prints."""
    return not jax.distributed.is_initialized() or jax_internals.current_process()[1] == 0


def broadcast_from_main(number: int) -> int:
    """Broadcasts a number from process 0, for values from a clock or a directory, which may differ by process."""
    return number if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def all_gather_text(topic: str, text: str = "") -> list[str]:
    """Gathers a text from all processes, ordered by index; needs no device. The topic is for logs."""
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
      UserError: the error of this process, or that of another process with its index.
    """
    result, failure = None, None
    try:
        result = work()
    except (UserError, OSError) as error:
        if not jax.distributed.is_initialized():
            raise
        failure = error
    messages = all_gather_text(topic, "" if failure is None else str(failure))
    if failure is not None:
        raise failure
    for index, message in enumerate(messages):
        if message:
            raise UserError(f"in process {index}, {message}")
    return cast(T, result)


def require_same_flags(flags: Mapping[str, str]) -> None:
    """Requires that all processes have the same flags.

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
    """Ends a process of a distributed run at once if it fails, so that the others need not wait for a timeout.

    Its closed connections fail the collectives of the others: at once if the network reports them, as between CPUs.
    Otherwise, and if a process hangs, JAX's coordinator misses its heartbeat after ``HEARTBEAT_SECONDS`` and aborts the
    others, with its own message and exit code 134. If process 0, the coordinator, is gone, JAX aborts them at once.

    Args:
      program: the name of the command.
      common: exceptions that all processes raise at the same step; they propagate as usual.
      kept: returns a description of what is saved.

    Yields:
      Nothing. In a single process all exceptions propagate as usual.
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
        if re.match("[A-Z_]+: ", reason):  # an XLA status, which jit raises as several types
            cause = "out of memory" if "RESOURCE_EXHAUSTED" in reason else "another process or a device is gone"
            reason = f"{cause} ({reason})"
        elif not isinstance(error, OSError | KeyboardInterrupt):
            traceback.print_exc()
        advice = "when all have ended, run the same command on every host to resume"
        who = f"process {index} of {count}"
        print(f"{program}: error: {who} stopped: {reason}; {kept()}; {advice}", file=sys.stderr, flush=True)
        if index == 0:
            time.sleep(1)  # without the coordinator JAX aborts the others before they print
        os._exit(1)
