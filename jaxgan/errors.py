"""User errors (exit code 2) and machine faults (exit code 1), each as one line on standard error."""

import contextlib
import difflib
import errno
import itertools
import logging
import os
import stat
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from jaxgan.terminal import forgiving_output, package_log, wide_enough

T = TypeVar("T")

MACHINE_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EIO}  # a full or broken disk, which is not a user error
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # from file systems without locks


class UserError(Exception):
    """An error that the user can correct, with a one-line message.

    Every command prints the message without a traceback and exits with code 2, before it changes anything on disk. The
    message names the field, the value, the allowed values and the nearest valid choice, if one is near.
    """


def of_disk(message: str, error: Exception) -> Exception:
    """Returns the exception for a failed write: OSError if the disk is full or broken, otherwise UserError."""
    return OSError(message) if getattr(error, "errno", None) in MACHINE_FAULTS else UserError(message)


@contextlib.contextmanager
def writing(flag: str, path: os.PathLike[str]) -> Iterator[None]:
    """Converts an OSError inside the context as :func:`of_disk` does, and names the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise of_disk(f"{flag}: {os.fspath(path)!r} cannot be written ({reason})", error) from error


def require_target(flag: str, out: Path, *, usual: str, suffixes: Sequence[str] = ()) -> None:
    """Checks an output path before any work starts.

    Args:
      flag: the flag that names the file.
      out: the file.
      usual: an example of a file name, for errors.
      suffixes: the allowed suffixes, where ``""`` stands for a new folder; empty for any suffix.

    Raises:
      UserError: if the path is a folder, its parent is not or takes no files, its suffix is not allowed, or the new
        folder exists.
      OSError: if the disk is full.
    """
    if os.path.isdir(out) and (out.suffix or "" not in suffixes):
        raise UserError(f"{flag}: {str(out)!r} is a folder, name a file in it, such as {str(out / usual)!r}")
    if not os.path.isdir(out.parent):
        raise UserError(f"{flag}: {str(out)!r} cannot be written, {str(out.parent)!r} is not a folder")
    if suffixes and out.suffix.lower() not in suffixes:
        offered = ", ".join(filter(None, suffixes)) + ", or a folder" * ("" in suffixes)
        such = f"such as {str(out.with_suffix(Path(usual).suffix))!r}"
        raise UserError(f"{flag}: {str(out)!r} has the suffix {out.suffix!r}, choose from {offered}, {such}")
    if "" in suffixes and not out.suffix and os.path.lexists(out):
        raise UserError(f"{flag}: {str(out)!r} exists already; give another name")
    with writing(flag, out):  # permissions alone do not tell: a mount may be read-only
        tempfile.TemporaryFile(dir=out.parent).close()


def require_file(source: str, path: Path) -> None:
    """Refuses a pipe or a device instead of a file: reading it would never end.

    Args:
      source: the flag and the file, for the error.
      path: the file, which need not exist.

    Raises:
      UserError: if the path is neither a file nor a folder.
    """
    with contextlib.suppress(OSError, ValueError):
        if not (stat.S_ISREG(mode := path.stat().st_mode) or stat.S_ISDIR(mode)):
            raise UserError(f"{source} is a pipe or a device, it must be a file")


def unknown_choice(field: str, value: str, choices: Iterable[str]) -> UserError:
    """Returns the error for a value that is not an allowed name, with the nearest name if one is near."""
    choices = sorted(choices)
    lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(value).lower(), lower, n=1)
    hint = f"; did you mean {lower[near[0]]!r}?" if near else ""
    offered = f"choose from {', '.join(choices)}" if choices else "no value is allowed"
    return UserError(f"{field}: {value!r} is not known, {offered}{hint}")


@contextlib.contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Ends the program on an error with one line: exit code 2 for user errors, 1 for machine faults, 130 for Ctrl-C.

    Printing inside the context never fails; see :func:`jaxgan.terminal.forgiving_output`.
    """
    with forgiving_output(), wide_enough():
        try:
            yield
        except UserError as error:
            fail(program, str(error), code=2)
        except OSError as error:  # its message names the file and the fault
            fail(program, str(error), code=1)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):  # JAX's, for device memory
                raise
            fail(program, "out of memory; try a smaller network, a smaller --batch-size or fewer images", code=1)
        except KeyboardInterrupt:
            fail(program, "interrupted", code=130)


def fail(program: str, message: str, *, code: int) -> NoReturn:
    """Prints one line on standard error and exits."""
    print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def printed_warnings(program: str) -> contextlib.AbstractContextManager[None]:
    """Prints warnings that the package logs on standard error, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{program}: warning: %(message)s"))
    handler.setLevel(logging.WARNING)
    return package_log(handler)


def end_with_main_thread(code: int, *, seconds: float = 1.0) -> None:
    """Ends the process soon after its main thread: after a failed save, its threads block each other for minutes.

    Warnings of asyncio and Python about the unfinished work of these threads are suppressed.

    Args:
      code: the exit code.
      seconds: the time for the shutdown of the interpreter.
    """

    def end() -> None:
        threading.main_thread().join()
        sys.stdout.flush()
        time.sleep(seconds)
        sys.stderr.flush()
        os._exit(code)

    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    sys.unraisablehook = lambda unraisable: None
    threading.Thread(target=end, daemon=True).start()


def require_values(argv: Sequence[str], *, lists: Iterable[str] = ()) -> None:
    """Refuses what tyro reads silently: an empty value, which is the working directory as a path, or a repeated list.

    Args:
      argv: the arguments.
      lists: the flags that take several values, of which tyro would keep only those of the last time.

    Raises:
      UserError: naming the flag.
    """
    given = [argument.partition("=")[0].replace("_", "-") for argument in argv]
    for flag in lists:
        if given.count(flag) > 1:
            raise UserError(f"{flag}: is given {given.count(flag)} times, give all of its values at once")
    for flag, value in itertools.pairwise([*argv, None]):
        if flag and flag.startswith("--") and (value == "" or flag.endswith("=")):
            raise UserError(f"{flag.rstrip('=')}: '' is not allowed, give a value or leave it out")
    if "" in argv:
        raise UserError("an argument is empty, which would name this folder; give a value or leave it out")


def parse(read: Callable[[], T], *, flags: Iterable[str] = ()) -> T:
    """Runs a tyro parser and raises its errors as one-line UserErrors.

    Args:
      read: calls ``tyro.cli``.
      flags: the flags and commands of the program, among which to find the one nearest to an unknown one.

    Returns:
      What ``read`` returns.

    Raises:
      UserError: if the command line is not valid, naming the flag, the value and what is allowed.
    """
    try:
        from tyro._errors import on_parse_error
    except ImportError:  # the hook is private to tyro; without it, tyro prints its own errors
        return read()

    def refuse(event: Any) -> None:
        if message := _message(event, sorted(flags)):
            raise UserError(message)

    with on_parse_error(refuse):
        return read()


def _message(event: Any, flags: Sequence[str]) -> str | None:
    """Returns the message for a parse error of tyro; None for an unknown kind."""
    match type(event).__name__:
        case "InvalidChoice":
            return str(unknown_choice(_name(event.argument), event.value, event.choices))
        case "UnrecognizedArgs":
            unknown = next((token for token in event.tokens if token.startswith("-")), event.tokens[0])
            near = difflib.get_close_matches(unknown.partition("=")[0].replace("_", "-"), flags, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"see {event.prog} --help"
            return f"{unknown}: no such {'flag' if unknown.startswith('-') else 'argument'}; {hint}"
        case "MissingArgs":
            missing = " and ".join(_name(context.arg) for context in event.missing_arguments)
            return f"{missing}: missing; see {event.prog} --help"
        case "MissingSubcommand":
            return f"no command is given, choose from {', '.join(event.subcommand_spec.parser_from_name)}"
        case "BadValue" if event.offending_value is not None:
            return f"{_name(event.argument)}: {event.offending_value!r} is not allowed, it takes no value"
        case "BadValue":
            return f"{_name(event.argument)}: its value is missing, it must be {event.argument.lowered.metavar}"
        case "InstantiationFailure" if event.argument is not None:
            reason = event.message.partition("\n")[0].rstrip(".")
            return f"{_name(event.argument)}: it must be {event.argument.lowered.metavar} ({reason})"
        case "InstantiationFailure":
            return event.message
    return None


def _name(argument: Any) -> str:
    """Returns the name of an argument as in the help: ``--data``, ``WORKDIR``."""
    return str(argument.lowered.metavar if argument.is_positional() else argument.display_name())
