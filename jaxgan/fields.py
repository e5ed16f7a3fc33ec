"""Declares the allowed values of config fields, and checks values against them."""

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

MOST = 2**20  # of any count: a larger number is a typing mistake


def number(default: float | None, *, low: float = 1, high: float = MOST, open_high: bool = False) -> Any:
    """Declares a numeric field and its allowed interval, closed or half-open."""
    return field(default=default, metadata={"low": low, "high": high, "open_high": open_high})


def probability(default: float) -> Any:
    """Declares a field in [0, 1), such as a decay or a dropout probability."""
    return number(default, low=0, high=1, open_high=True)


def non_negative(default: float | None) -> Any:
    """Declares a finite field of at least 0, such as a learning rate or the weight of a penalty."""
    return number(default, low=0, high=float("inf"))


def schedule_steps(default: int) -> Any:
    """Declares the steps of a learning rate decay to 0, which should be those of the run; 0 for no decay."""
    return field(default=default, metadata={"low": 0, "high": MOST, "open_high": False, "schedule": True})


def rising_steps(default: int) -> Any:
    """Declares the steps of a learning rate warmup, which should be fewer than those of the run; 0 for no warmup."""
    return field(default=default, metadata={"low": 0, "high": MOST, "open_high": False, "warmup": True})


def check(flag: str, value: Any, hint: Any, bounds: Mapping[str, Any]) -> None:
    """Checks the value of a field against its type, choices and interval.

    Args:
      flag: the flag that sets the field, for errors.
      value: the value.
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
    """Checks every field of a config by :func:`check`, except values of the types ``but``."""
    hints = typing.get_type_hints(type(part))
    for f in dataclasses.fields(part):
        if not isinstance(value := getattr(part, f.name), but):
            check(f"--{f.name.replace('_', '-')}", value, hints[f.name], f.metadata)


def steps_between(flag: str, text: str) -> range:
    """Parses START:STOP as a range of at least one step.

    Raises:
      UserError: if the text is not START:STOP, or the range is empty.
    """
    numbers = re.fullmatch(r"([0-9]{1,12}):([0-9]{1,12})", text)
    start, stop = map(int, numbers.groups()) if numbers else (100, 110)
    if not numbers or start >= stop:
        near = f"{stop}:{start}" if start > stop else f"{start}:{start + 10}"
        raise UserError(f"{flag}: {text!r} is not allowed, it must be START:STOP, the lower step first, such as {near}")
    return range(start, stop)


def address_of(path: str | os.PathLike[str]) -> str | None:
    """Returns the address that a path names, such as ``gs://bucket/run``, with its slashes; None for a folder."""
    found = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]+):/+([^*?[\]]*[^*?[\]/.])/*", str(path))
    return found and f"{found[1]}://{'/' * (found[1] in ('file', 'local'))}{found[2]}"


def cache_home() -> Path:
    """Returns the cache directory of the user; raises RuntimeError if the user has no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def local_folder(address: str) -> Path:
    """Returns the local folder of a run at an address, in the cache directory of the user.

    Raises:
      UserError: if the user has no home.
    """
    try:
        home = cache_home()
    except RuntimeError as error:
        raise UserError(
            "--workdir: an address needs a cache directory, and there is no home; set XDG_CACHE_HOME"
        ) from error
    return home.joinpath("jaxgan", "runs", *(quote(part, safe="") for part in os.path.split(address)))


def require_local(flag: str, path: str | os.PathLike[str]) -> None:
    """Refuses an address, such as ``gs://bucket/run``, where a folder is needed; Path merges its slashes.

    Raises:
      UserError: if it is an address.
    """
    if scheme := re.match("([A-Za-z][A-Za-z0-9+.-]+):/", str(path)):
        raise UserError(
            f"{flag}: {str(path)!r} is an address, it must be a folder; mount the {scheme[1]}:// address and give the "
            "folder of the mount"
        )
