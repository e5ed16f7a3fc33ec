"""Signals: stopping a run between steps when the user or the system asks for it."""

import _thread
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jax.experimental import multihost_utils

from jaxgan.errors import fail

Stop = Callable[[], int | None]  # the signal that asked a run to stop, or None
Handler = Callable[[int, object], None]


class Interrupted(Exception):
    """A run stopped early because a signal asked for it, after saving."""

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}")
        self.signum = signum


# What asks a run to stop. SIGHUP, which Windows lacks, comes when the terminal is closed.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class _EndCommand:
    """Ends a command at a signal, in one line and after cleaning up; the next signal ends it at once."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._signum = 0
        self._ending: BaseException | None = None

    def __call__(self, signum: int, _frame: object) -> None:
        for each in SIGNALS:
            if isinstance(signal.getsignal(each), _EndCommand):
                signal.signal(each, signal.SIG_DFL)
        try:
            if self._ending is not None:
                raise self._ending
            if signum == signal.SIGINT:
                raise KeyboardInterrupt
            fail(self._program, "terminated", code=128 + signum)
        except BaseException as ending:
            self._signum, self._ending = signum, ending
            raise

    @contextmanager
    def raised_again(self) -> Iterator[None]:
        """Raises an ending again where Python drops it: in a callback of garbage collection, as JAX has one."""
        hook = sys.unraisablehook

        def again(unraisable: Any) -> None:
            if self._ending is None or unraisable.exc_value is not self._ending:
                return hook(unraisable)
            signal.signal(self._signum, self)
            threading.Timer(0.01, _thread.interrupt_main, (self._signum,)).start()

        sys.unraisablehook = again
        try:
            yield
        finally:
            sys.unraisablehook = hook


@contextmanager
def _handled(signals: Iterable[int], handler: Handler) -> Iterator[dict[int, Any]]:
    """Handles signals inside, except ignored ones, as SIGHUP under nohup, and those of other code than Python's.

    Yields:
      The handlers from before.
    """
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield {}
        return
    before = {each: signal.getsignal(each) for each in signals}
    before = {each: found for each, found in before.items() if found not in (signal.SIG_IGN, None)}
    for each in before:
        signal.signal(each, handler)
    try:
        yield before
    finally:
        for each, found in before.items():
            signal.signal(each, found)


@contextmanager
def graceful_signals() -> Iterator[Stop]:
    """Turns the first Ctrl-C, SIGTERM or SIGHUP into a request; a second one ends a command at once.

    The system ends it then, so that no thread can hold it up. A program that calls the package gets its own handlers
    back instead.

    Yields:
      A function that returns the signal that has come, or None.
    """
    received: list[int] = []

    def remember(signum: int, _frame: object) -> None:
        received.append(signum)
        _restore(before)

    with _handled(SIGNALS, remember) as before:
        yield lambda: received[0] if received else None


def _restore(before: Mapping[int, Any]) -> None:
    """Gives signals the handlers from before a run, those of a command the system's."""
    for each, found in before.items():
        if found is not None:
            signal.signal(each, signal.SIG_DFL if isinstance(found, _EndCommand) else found)


@contextmanager
def agreed_signals() -> Iterator[Stop]:
    """Turns SIGTERM to one process into a request that all processes see at the same call.

    JAX catches the signal once the processes have met, and Ctrl-C and SIGHUP are passed on to it.

    Yields:
      A function that returns the signal in all processes at once; all must call it the same number of times.
    """
    calls = itertools.count()

    def stop() -> int | None:
        if not multihost_utils.reached_preemption_sync_point(next(calls)):
            return None
        if before:
            _restore({each: signal.getsignal(each) for each in SIGNALS})
        return signal.SIGTERM

    def pass_on(_signum: int, _frame: object) -> None:
        _restore(before)
        os.kill(os.getpid(), signal.SIGTERM)

    with _handled([each for each in SIGNALS if each != signal.SIGTERM], pass_on) as before:
        yield stop


@contextmanager
def exit_on_signals(program: str) -> Iterator[None]:
    """Lets Ctrl-C, SIGTERM and SIGHUP end a command in one line, after cleaning up, with exit code 130, 143 or 129.

    A second signal ends it at once, whatever it waits for.
    """
    end = _EndCommand(program)
    with _handled(SIGNALS, end), end.raised_again():
        yield
