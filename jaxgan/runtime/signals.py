"""Signals: stopping a run between steps when the user or the system asks for it."""

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jax.experimental import multihost_utils

from jaxgan.errors import fail

Stop = Callable[[], int | None]  # the signal that asked a run to stop, or None


class Interrupted(Exception):
    """A run stopped early because a signal asked for it, after saving."""

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}")
        self.signum = signum


@contextmanager
def graceful_signals() -> Iterator[Stop]:
    """Turns the first Ctrl-C or SIGTERM into a request; a second one acts as usual.

    Yields:
      A function that returns the signal that has come, or None.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield lambda: None
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.getsignal(s) for s in signals}

    def remember(signum: int, _frame: object) -> None:
        received.append(signum)
        for s in signals:
            signal.signal(s, before[s])

    try:
        for s in signals:
            signal.signal(s, remember)
        yield lambda: received[0] if received else None
    finally:
        for s in signals:
            signal.signal(s, before[s])


@contextmanager
def agreed_signals() -> Iterator[Stop]:
    """Turns SIGTERM to one process into a request that all processes see at the same call.

    JAX catches the signal once the processes have met, and Ctrl-C is passed on to it.

    Yields:
      A function that returns the signal in all processes at once; all must call it the same number of times.
    """
    calls = itertools.count()

    def stop() -> int | None:
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(next(calls)) else None

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def pass_on(_signum: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGINT, pass_on)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def exit_on_sigterm(program: str) -> Iterator[None]:
    """Lets SIGTERM end a command like Ctrl-C: in one line, after cleaning up, with exit code 143.

    Args:
      program: the name of the command.

    Yields:
      Nothing; the command runs inside.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: fail(program, "terminated", code=143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
