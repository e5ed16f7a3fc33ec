"""Signals: stop a run between steps when the user or the system asks for it."""

import _thread
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jaxgan.errors import fail

Stop = Callable[[], int | None]  # returns the signal that stops the run, or None
Handler = Callable[[int, object], None]


class Interrupted(Exception):
    """A signal stopped the run, which saved a checkpoint first."""

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}")
        self.signum = signum


# The signals that stop a run. SIGHUP, which Windows lacks, is sent when the terminal is closed.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class _EndCommand:
    """Signal handler that ends a command with one line, after cleanup; the next signal ends it at once."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._signum = 0
        self._ending: BaseException | None = None

    def __call__(self, signum: int, _frame: object) -> None:
        for handled in SIGNALS:
            if isinstance(signal.getsignal(handled), _EndCommand):
                signal.signal(handled, signal.SIG_DFL)
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
        """Raises the exception again if Python discards it in a callback of garbage collection, such as JAX's."""
        hook = sys.unraisablehook

        def raise_again(unraisable: Any) -> None:
            if self._ending is None or unraisable.exc_value is not self._ending:
                return hook(unraisable)
            signal.signal(self._signum, self)
            threading.Timer(0.01, _thread.interrupt_main, (self._signum,)).start()

        sys.unraisablehook = raise_again
        try:
            yield
        finally:
            if sys.unraisablehook is raise_again:  # not if a failed save silences its threads until the end
                sys.unraisablehook = hook


@contextmanager
def _handled(signals: Iterable[int], handler: Handler) -> Iterator[dict[int, Any]]:
    """Installs a handler, except for signals that are ignored, as SIGHUP under nohup, or not handled by Python code.

    Yields:
      The previous handlers.
    """
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield {}
        return
    before = {signum: signal.getsignal(signum) for signum in signals}
    before = {signum: previous for signum, previous in before.items() if previous not in (signal.SIG_IGN, None)}
    for signum in before:
        signal.signal(signum, handler)
    try:
        yield before
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)


@contextmanager
def graceful_signals() -> Iterator[Stop]:
    """Turns the first Ctrl-C, SIGTERM or SIGHUP into a request to stop; a second one ends a command at once.

    The system's default handler ends it, so that no thread can delay it. In a program that calls this package, the
    program's handlers are restored instead.

    Yields:
      A function that returns the signal received, or None.
    """
    received: list[int] = []

    def remember(signum: int, _frame: object) -> None:
        received.append(signum)
        _restore(before)

    with _handled(SIGNALS, remember) as before:
        yield lambda: received[0] if received else None


def _restore(before: Mapping[int, Any]) -> None:
    """Restores the handlers from before a run; in a command, the system's default handlers."""
    for signum, previous in before.items():
        if previous is not None:
            signal.signal(signum, signal.SIG_DFL if isinstance(previous, _EndCommand) else previous)


@contextmanager
def agreed_signals() -> Iterator[Stop]:
    """Turns SIGTERM to one process into a request to stop that all processes see at the same call.

    JAX catches SIGTERM once the processes are connected. Ctrl-C and SIGHUP are forwarded as SIGTERM.

    Yields:
      A function that returns the signal in all processes at the same call; all must call it equally often.
    """
    from jax.experimental import multihost_utils  # slow to import, and commands that handle signals need no JAX

    calls = itertools.count()

    def stop() -> int | None:
        if not multihost_utils.reached_preemption_sync_point(next(calls)):
            return None
        if before:
            _restore({signum: signal.getsignal(signum) for signum in SIGNALS})
        return signal.SIGTERM

    def forward(_signum: int, _frame: object) -> None:
        _restore(before)
        os.kill(os.getpid(), signal.SIGTERM)

    with _handled([signum for signum in SIGNALS if signum != signal.SIGTERM], forward) as before:
        yield stop


@contextmanager
def exit_on_signals(program: str) -> Iterator[None]:
    """Ends a command on Ctrl-C, SIGTERM or SIGHUP with one line, after cleanup, with exit code 130, 143 or 129.

    A second signal ends it at once, whatever it waits for.
    """
    end = _EndCommand(program)
    with _handled(SIGNALS, end), end.raised_again():
        yield
