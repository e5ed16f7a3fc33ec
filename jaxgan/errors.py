"""Mistakes that a user can mend: one exception, told in one line, exit code 2."""

import contextlib
import difflib
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn, TypeVar

T = TypeVar("T")


class UserError(Exception):
    """A mistake in what the user asked for, told in one line.

    Every command prints the message without a traceback and exits with code 2, having changed nothing on disk. The
    message names the field, the value given, what is allowed and, where there is one, the nearest valid choice.
    """


def unknown_choice(field: str, value: str, choices: Iterable[str]) -> UserError:
    """Builds the error for a value that is none of the allowed names.

    Args:
      field: what the user set, as the user wrote it (``--data``).
      value: the value given.
      choices: every name that is allowed.

    Returns:
      The error, naming the choice closest to ``value`` where one is close.
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(value, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UserError(f"{field}: {value!r} is not known, choose from {', '.join(choices)}{hint}")


@contextlib.contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Ends the program with one line and exit code 2 after a mistake of the user, 130 after Ctrl-C.

    Args:
      program: the name of the command, which begins the line.

    Yields:
      Nothing; the command runs inside.
    """
    try:
        yield
    except (UserError, OSError) as error:  # the system's own words name the file and what is wrong with it
        fail(program, str(error), code=2)
    except KeyboardInterrupt:
        fail(program, "interrupted", code=130)


def fail(program: str, message: str, *, code: int) -> NoReturn:
    """Ends the program with one line on standard error.

    Args:
      program: the name of the command.
      message: what went wrong, and the way out.
      code: the exit code.

    Raises:
      SystemExit: always.
    """
    print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def parse(read: Callable[[], T]) -> T:
    """Runs a command-line parser whose complaints come as a box of lines, and makes a one-line error of them.

    Args:
      read: parses the command line; ends with SystemExit(2) and a text on standard error if it cannot.

    Returns:
      What it returns.

    Raises:
      UserError: with the parser's words.
    """
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return read()
    except SystemExit as error:
        if error.code != 2:
            raise
        # The box: a frame with a title, the words, the flag's help text and where to find more.
        without_frame = re.sub(r"\x1b\[[0-9;]*m|\u256d.*\u256e|[\u2500-\u257f]+", " ", box.getvalue())
        words = " ".join(re.split("Argument helptext|For full helptext", without_frame)[0].split())
        if choice := re.search(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)", words):
            value, flag, choices = choice.groups()
            raise unknown_choice(flag, value, re.findall("'(.*?)'", choices)) from error
        raise UserError(words) from error
