"""Standard output and error that never fail, whatever the encoding or a closed terminal, and the package's log."""

import contextlib
import logging
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

PLAIN = {"↑": "^", "↓": "v", "±": "+-", "·": "*", "…": "...", "─": "-"}  # replacements of the symbols in tables
FEWEST_COLUMNS = 20  # of a terminal, for tyro's help


class Forgiving:
    """A text stream that writes to another stream and never fails.

    Characters that the other stream cannot encode are replaced. After a system error, such as a closed pipe or a full
    disk, further output is dropped.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failed = False

    def __getattr__(self, name: str) -> Any:
        """Forwards all other attributes to the wrapped stream."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text, with replacements where needed."""
        self._attempt(lambda: self._stream.write(encodable(text, self._stream.encoding)))
        return len(text)

    def flush(self) -> None:
        """Flushes the wrapped stream."""
        self._attempt(self._stream.flush)

    def _attempt(self, action: Any) -> None:
        if self._failed:
            return
        try:
            action()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._failed = True
            _discard(self._stream)


def _discard(stream: TextIO) -> None:
    """Redirects a stream to the null device, so that the flush at the exit of Python does not fail."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def encodable(text: str, encoding: str | None) -> str:
    """Replaces characters that an encoding lacks by ASCII symbols, letters without accents, or escapes."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return "".join(_plain(character, encoding or "utf-8") for character in text)
    return text


def _plain(character: str, encoding: str) -> str:
    for candidate in (character, PLAIN.get(character, ""), unicodedata.normalize("NFKD", character)[0]):
        with contextlib.suppress(UnicodeEncodeError):
            if candidate:
                candidate.encode(encoding)
                return candidate
    return character.encode("ascii", "backslashreplace").decode()


@contextlib.contextmanager
def forgiving_output() -> Iterator[None]:
    """Wraps standard output and error, or the null device if they are closed, in :class:`Forgiving`."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(_forgiving(sys.stdout or nowhere)),
        contextlib.redirect_stderr(_forgiving(sys.stderr or nowhere)),
    ):
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


@contextlib.contextmanager
def wide_enough() -> Iterator[None]:
    """Sets a least width inside the context: with 3 columns tyro's help never returns, with 0 rich prints nothing."""
    columns, width = os.environ.get("COLUMNS"), shutil.get_terminal_size().columns
    if width >= FEWEST_COLUMNS and columns != "0":
        yield
        return
    os.environ["COLUMNS"] = str(max(width, FEWEST_COLUMNS))
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns


def _forgiving(stream: Any) -> Any:
    """Wraps a stream, unless it is wrapped already."""
    return stream if isinstance(stream, Forgiving) else Forgiving(stream)


@contextlib.contextmanager
def package_log(handler: logging.Handler) -> Iterator[None]:
    """Sends what the package logs to a handler, and to no other: Orbax and TFDS add some to the root logger."""
    logger = logging.getLogger("jaxgan")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
