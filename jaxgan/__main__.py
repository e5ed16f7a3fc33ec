"""Starts the ``jaxgan`` command, also as ``python -m jaxgan``."""

import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Runs the command; Ctrl-C ends it with one line even during its imports, which take a second."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # otherwise it is ignored
        signal.signal(signal.SIGINT, _end)
    from jaxgan import cli

    signal.signal(signal.SIGINT, usual)
    cli.main()


def _end(_signum: int, _frame: object) -> NoReturn:
    print("jaxgan: error: interrupted", file=sys.stderr, flush=True)
    os._exit(130)  # an exception would be lost or disguised inside of an import


if __name__ == "__main__":
    main()
