"""Standard output and error that never fail: a terminal without the characters, or one that is gone, costs its text."""

import contextlib
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

PLAIN = {"↑": "^", "↓": "v", "±": "+-", "·": "*", "…": "...", "─": "-"}  # what figures and tables use beyond letters
FEWEST_COLUMNS = 20  # of a terminal


class Forgiving:
    """A text stream that writes what it can to another one.

    Characters that the other one cannot encode become plain ones. After an error of the system, such as a closed pipe
    or a full disk, it writes nothing more.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def __getattr__(self, name: str) -> Any:
        """All else is the other stream's."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes a text, or what is possible of it."""
        self._attempt(lambda: self._stream.write(encodable(text, self._stream.encoding)))
        return len(text)

    def flush(self) -> None:
        """Hands on what is written."""
        self._attempt(self._stream.flush)

    def _attempt(self, action: Any) -> None:
        if self._gone:
            return
        try:
            action()
        except (OSError, ValueError):  # ValueError: it is closed
            self._gone = True
            _discard(self._stream)


def _discard(stream: TextIO) -> None:
    """Sends what a stream still holds to nowhere, lest Python complain when it ends."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def encodable(text: str, encoding: str | None) -> str:
    """Replaces the characters that an encoding lacks: by plain ones, letters without accents, or escapes.

    A text that the encoding has stays as it is.
    """
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return "".join(_plain(character, encoding or "utf-8") for character in text)
    return text


def _plain(character: str, encoding: str) -> str:
    for each in (character, PLAIN.get(character, ""), unicodedata.normalize("NFKD", character)[0]):
        with contextlib.suppress(UnicodeEncodeError):
            if each:
                each.encode(encoding)
                return each
    return character.encode("ascii", "backslashreplace").decode()


@contextlib.contextmanager
def forgiving_output() -> Iterator[None]:
    """Makes standard output and error forgiving inside; see :class:`Forgiving`."""
    with (
        contextlib.redirect_stdout(_forgiving(sys.stdout)),
        contextlib.redirect_stderr(_forgiving(sys.stderr)),
    ):
        try:
            yield
        finally:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()


@contextlib.contextmanager
def wide_enough() -> Iterator[None]:
    """Takes a narrow terminal for a wider one inside: the help of tyro waits for ever for words that fit into three."""
    if shutil.get_terminal_size().columns >= FEWEST_COLUMNS:
        yield
        return
    given = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(FEWEST_COLUMNS)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if given is not None:
            os.environ["COLUMNS"] = given


def _forgiving(stream: Any) -> Any:
    """The stream itself where there is none, or where it is forgiving already."""
    return stream if stream is None or isinstance(stream, Forgiving) else Forgiving(stream)
