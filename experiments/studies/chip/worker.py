"""Runs tasks in separate processes, so a crash, a hang or an out-of-memory error costs one task."""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import jax
from studies import machine

from jaxgan.runtime.numerics import fixed_numerics

DRIVERS = ("jax-cuda13-plugin", "jax-cuda12-plugin", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "libtpu")
STARTUP_TIMEOUT = 120.0  # seconds for a new process to find its devices
ERROR_LENGTH = 200  # maximum length of an error in the report


class Row(NamedTuple):
    """A row of a table."""

    table: str
    key: Mapping[str, Any]  # identifies the measurement, by column heading
    values: Mapping[str, Any]  # results, by column heading


class Task(NamedTuple):
    """A measurement for a process."""

    part: str
    name: str  # unique
    measure: Callable[..., Iterator[Row]]  # a module-level function
    arguments: Mapping[str, Any]
    flags: str = ""  # added to XLA_FLAGS
    fresh: bool = False  # whether the task needs a new process


class Failed(NamedTuple):
    """The reason why a task did not yield all of its rows."""

    why: str


class Done(NamedTuple):
    """The end of a task."""

    seconds: float


class Worker(NamedTuple):
    """A process that runs tasks."""

    process: BaseProcess
    pipe: Connection
    flags: str


Answer = Row | Failed | Done
STOPPED = Failed("stopped, its time was up")


def describe() -> dict[str, Any]:
    """Describes the accelerator of this process: name, platform, number of devices, and machine."""
    devices = jax.devices()
    card = f"{len(devices)} x {devices[0].device_kind}".removeprefix("1 x ")
    about = machine.describe(*machine.PACKAGES, *DRIVERS)
    return {"card": card, "platform": devices[0].platform, "machine": about}


def identify() -> dict[str, Any]:
    """Describes the accelerator from a short-lived process, so this process does not occupy it."""
    with tempfile.TemporaryDirectory() as folder:
        worker = start("", Path(folder))
        try:
            worker.pipe.send(None)
            if worker.pipe.poll(STARTUP_TIMEOUT):
                return worker.pipe.recv()
        except EOFError:
            pass
        finally:
            stop(worker)
    return {"card": "none", "platform": "none", "machine": ""}


def answers(tasks: Sequence[Task], *, until: Callable[[Task], tuple[float, float]]) -> Iterator[tuple[Task, Answer]]:
    """Runs tasks one after another.

    A process runs all tasks with the same flags, until a task crashes it or must be stopped.

    Args:
      tasks: tasks in order.
      until: returns two times of ``time.monotonic``: a task must start before the first, and is stopped at the second.

    Yields:
      Each task with each of its rows as it is measured, and finally with `Done` or `Failed`.
    """
    worker = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, task in enumerate(tasks):
                begin, end = until(task)
                if time.monotonic() >= begin:
                    yield task, Failed("no time was left")
                    continue
                if worker is None or task.fresh or task.flags != worker.flags:
                    if worker:
                        stop(worker)
                    worker = start(task.flags, Path(folder, str(number)))
                last: Answer | None = None
                for last in _answers(worker, task, end):
                    yield task, last
                if task.fresh or not (isinstance(last, Done) or worker.process.is_alive()) or last == STOPPED:
                    stop(worker)
                    worker = None
        finally:
            if worker:
                stop(worker)


def _answers(worker: Worker, task: Task, end: float) -> Iterator[Answer]:
    try:
        worker.pipe.send(task)
        while True:
            if not worker.pipe.poll(max(0.0, end - time.monotonic())):
                yield STOPPED
                return
            answer = worker.pipe.recv()
            yield answer
            if not isinstance(answer, Row):
                return
    except (EOFError, OSError):
        worker.process.join(10)
        yield Failed(f"its process ended with code {worker.process.exitcode}")


def start(flags: str, cache: Path) -> Worker:
    """Starts a process with XLA flags and its own compilation cache."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, flags, str(cache)), daemon=False)
    process.start()
    there.close()
    return Worker(process, here, flags)


def stop(worker: Worker) -> None:
    """Kills a process and its children."""
    assert worker.process.pid
    with contextlib.suppress(ProcessLookupError, PermissionError, AttributeError):  # before `serve`; on Windows
        os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def serve(pipe: Connection, flags: str, cache: str) -> None:
    """Runs tasks from a pipe until the other end closes; None only requests a description of the device."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpgrp()  # so `stop` also kills the children
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch and scripts share the device
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    with contextlib.suppress(EOFError, BrokenPipeError), fixed_numerics():
        while True:
            if (task := pipe.recv()) is None:
                with contextlib.suppress(RuntimeError, AssertionError):  # no device: the other end gets an EOFError
                    pipe.send(describe())
                return
            began = time.perf_counter()
            try:
                for row in task.measure(**task.arguments):
                    pipe.send(row)
                pipe.send(Done(time.perf_counter() - began))
            except (Exception, SystemExit) as error:  # of any type, to continue with the next task
                pipe.send(Failed(one_line(error)))


def one_line(error: BaseException) -> str:
    """Formats the type of an error and the start of its message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:ERROR_LENGTH]
