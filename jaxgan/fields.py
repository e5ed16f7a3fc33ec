"""How a field of a config declares the values it takes, and how a value is held against that."""

import dataclasses
import os
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from jaxgan.errors import UserError, unknown_choice

MOST = 2**20  # of anything that is counted: beyond it a number is a slip of the keyboard


def number(default: float | None, *, low: float = 1, high: float = MOST, open_high: bool = False) -> Any:
    """Declares a numeric field together with the closed (or half-open) interval it may lie in."""
    return field(default=default, metadata={"low": low, "high": high, "open_high": open_high})


def probability(default: float) -> Any:
    """Declares a field that lies in [0, 1): a decay, a probability of being dropped."""
    return number(default, low=0, high=1, open_high=True)


def non_negative(default: float | None) -> Any:
    """Declares a field that is not negative: a learning rate, the weight of a penalty."""
    return number(default, low=0, high=float("inf"))


def schedule_steps(default: int) -> Any:
    """Declares the length of a schedule after which learning rates stay 0; 0 for none. It should be that of the run."""
    return field(default=default, metadata={"low": 0, "high": MOST, "open_high": False, "schedule": True})


def rising_steps(default: int) -> Any:
    """Declares the steps in which a learning rate rises to its peak; 0 for none. The run should be longer."""
    return field(default=default, metadata={"low": 0, "high": MOST, "open_high": False, "warmup": True})


def check(flag: str, value: Any, hint: Any, bounds: Mapping[str, Any]) -> None:
    """Checks a value of a field against its type, its choices and its interval.

    Args:
      flag: what the user set, for the error.
      value: its value.
      hint: the type of the field.
      bounds: the interval, as :func:`number` declares it; empty for none.

    Raises:
      UserError: if the value is not allowed.
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return
    kind = next(option for option in options if option is not type(None))
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise unknown_choice(flag, str(value), typing.get_args(kind))
        return
    base = typing.get_origin(kind) or kind
    accepted = (int, float) if base is float else (base,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and base is not bool):
        raise UserError(f"{flag}: {value!r} is not allowed, it must be of type {base.__name__}")
    if not bounds:
        return
    beyond = value >= bounds["high"] if bounds["open_high"] else value > bounds["high"]
    if not value >= bounds["low"] or beyond or value == float("inf"):
        upper = f" and {'below' if bounds['open_high'] else 'at most'} {bounds['high']}"
        upper = " and finite" * (base is float) if bounds["high"] == float("inf") else upper
        raise UserError(f"{flag}: {value} is not allowed, it must be at least {bounds['low']}{upper}")


def check_all(part: Any, *, but: type | tuple[type, ...] = ()) -> None:
    """Checks every field of a config, but for values of some types, as :func:`check` does."""
    hints = typing.get_type_hints(type(part))
    for f in dataclasses.fields(part):
        if not isinstance(value := getattr(part, f.name), but):
            check(f"--{f.name.replace('_', '-')}", value, hints[f.name], f.metadata)


def steps_between(flag: str, text: str) -> range:
    """Reads START:STOP as the steps from one up to another, at least one.

    Raises:
      UserError: if it is something else.
    """
    numbers = re.fullmatch(r"([0-9]{1,12}):([0-9]{1,12})", text)
    start, stop = map(int, numbers.groups()) if numbers else (100, 110)
    if not numbers or start >= stop:
        near = f"{stop}:{start}" if start > stop else f"{start}:{start + 10}"
        raise UserError(f"{flag}: {text!r} is not allowed, it must be START:STOP, the lower step first, such as {near}")
    return range(start, stop)


def address_of(path: str | os.PathLike[str]) -> str | None:
    """The address that a path stands for, such as ``gs://bucket/run``, whose slashes it shortens; None for a folder."""
    found = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]+):/+([^*?[\]]*[^*?[\]/.])/*", str(path))
    return found and f"{found[1]}://{'/' * (found[1] in ('file', 'local'))}{found[2]}"


def cache_home() -> Path:
    """The folder of the user's caches; raises RuntimeError if the user has no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def local_folder(address: str) -> Path:
    """The folder on disk of a run that is kept at an address, in the user's cache folder.

    Raises:
      UserError: if the user has no home.
    """
    try:
        home = cache_home()
    except RuntimeError as error:
        raise UserError(
            "--workdir: an address needs a folder for caches, and there is no home; set XDG_CACHE_HOME"
        ) from error
    return home.joinpath("jaxgan", "runs", *(quote(part, safe="") for part in os.path.split(address)))


def require_local(flag: str, path: str | os.PathLike[str]) -> None:
    """Refuses an address, such as ``gs://bucket/run``, in the place of a folder; a path shortens its slashes.

    Raises:
      UserError: if it is an address.
    """
    if scheme := re.match("([A-Za-z][A-Za-z0-9+.-]+):/", str(path)):
        raise UserError(
            f"{flag}: {str(path)!r} is an address, it must be a folder; mount what {scheme[1]}:// names and give the "
            "folder of the mount"
        )
