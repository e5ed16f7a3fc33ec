"""Whether the fields of a config hold what they may."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from jaxgan.config.run import Config
from jaxgan.errors import UserError, unknown_choice


def validate(config: Config) -> None:
    """Checks every field against its type, its choices and its interval.

    Args:
      config: the experiment asked for.

    Raises:
      UserError: naming the first field that is out of bounds.
    """
    for part in (config.method, config.run):
        hints = typing.get_type_hints(type(part))
        for f in dataclasses.fields(part):
            _check(f"--{f.name.replace('_', '-')}", getattr(part, f.name), hints[f.name], f.metadata)
    _ = config.run.profiled  # raises for what is no stretch of steps
    if config.run.keep_best != "none" and config.run.evaluate_every is None:
        raise UserError(f"--keep-best: {config.run.keep_best!r} needs --evaluate-every, the epochs between evaluations")
    for epoch in config.run.sample_epochs:
        _check("--sample-epochs", epoch, int, {"low": 1, "high": float("inf"), "open_high": False})


def _check(flag: str, value: Any, hint: Any, bounds: Mapping[str, Any]) -> None:
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
