"""Tasks carried out in a process of their own, so that a crash, a hang or a lack of memory costs one task."""

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
FIRST_WORD = 120.0  # seconds in which a process must have found its devices
WORDS = 200  # characters of an error that a report quotes


class Row(NamedTuple):
    """A row of a table."""

    table: str
    key: Mapping[str, Any]  # what was measured, by the heading of its column
    values: Mapping[str, Any]  # what was found, likewise


class Task(NamedTuple):
    """A measurement that a process carries out."""

    part: str
    name: str  # no other task has it
    measure: Callable[..., Iterator[Row]]  # a function of a module
    arguments: Mapping[str, Any]
    flags: str = ""  # added to XLA_FLAGS
    fresh: bool = False  # whether no other task may have run in its process


class Failed(NamedTuple):
    """Why a task gave not all of its rows."""

    why: str


class Done(NamedTuple):
    """The end of a task."""

    seconds: float


class Worker(NamedTuple):
    """A process that carries out tasks."""

    process: BaseProcess
    pipe: Connection
    flags: str


Answer = Row | Failed | Done
STOPPED = Failed("stopped, its time was up")


def describe() -> dict[str, Any]:
    """Describes the accelerator of this process: its name, platform and number, and the machine around it."""
    devices = jax.devices()
    card = f"{len(devices)} x {devices[0].device_kind}".removeprefix("1 x ")
    about = machine.describe(*machine.PACKAGES, *DRIVERS)
    return {"card": card, "platform": devices[0].platform, "machine": about}


def identify() -> dict[str, Any]:
    """Describes the accelerator from a process that ends at once, so that none is held here."""
    with tempfile.TemporaryDirectory() as folder:
        worker = start("", Path(folder))
        try:
            worker.pipe.send(None)
            if worker.pipe.poll(FIRST_WORD):
                return worker.pipe.recv()
        except EOFError:
            pass
        finally:
            stop(worker)
    return {"card": "none", "platform": "none", "machine": ""}


def answers(tasks: Sequence[Task], *, until: Callable[[Task], tuple[float, float]]) -> Iterator[tuple[Task, Answer]]:
    """Carries out tasks one after the other.

    A process serves all tasks of the same flags, until one takes it down or has to be stopped.

    Args:
      tasks: what to do, in order.
      until: the times, of ``time.monotonic``, before which a task may begin and at which it is stopped.

    Yields:
      Each row as it is measured, with its task; and for each task at its end what that was.
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
    """Starts a process with flags of XLA and its own cache of compiled programs."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, flags, str(cache)), daemon=False)
    process.start()
    there.close()
    return Worker(process, here, flags)


def stop(worker: Worker) -> None:
    """Ends a process and its children."""
    assert worker.process.pid
    with contextlib.suppress(ProcessLookupError, PermissionError, AttributeError):  # before `serve`; on Windows
        os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def serve(pipe: Connection, flags: str, cache: str) -> None:
    """Carries out the tasks that come through a pipe until its other end is closed; after None it only describes."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpgrp()  # so that `stop` ends the children, too
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch and scripts use the same card
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    with contextlib.suppress(EOFError, BrokenPipeError), fixed_numerics():
        while True:
            if (task := pipe.recv()) is None:
                with contextlib.suppress(RuntimeError, AssertionError):  # no device: the other end sees us end
                    pipe.send(describe())
                return
            began = time.perf_counter()
            try:
                for row in task.measure(**task.arguments):
                    pipe.send(row)
                pipe.send(Done(time.perf_counter() - began))
            except (Exception, SystemExit) as error:  # of any kind: the next task goes on
                pipe.send(Failed(in_words(error)))


def in_words(error: BaseException) -> str:
    """Writes the kind of an error and the beginning of its message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:WORDS]
