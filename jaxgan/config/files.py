"""A config on disk, and what two configs differ in."""

import dataclasses
import json

from jaxgan.config.methods import METHODS
from jaxgan.config.run import FREE_FIELDS, Config, Run
from jaxgan.config.validation import validate
from jaxgan.errors import UserError, unknown_choice


def to_json(config: Config) -> str:
    """Writes a config as the JSON text that :func:`from_json` reads."""
    tree = {
        "method": {"kind": config.kind, **dataclasses.asdict(config.method)},
        "run": dataclasses.asdict(config.run),
    }
    return json.dumps(tree, indent=2, default=str) + "\n"


def from_json(text: str, *, source: str) -> Config:
    """Reads a config back from JSON.

    Args:
      text: what :func:`to_json` wrote.
      source: where the text came from, for the error.

    Returns:
      The config, validated.

    Raises:
      UserError: if the text is no such JSON, names an unknown method, or lacks a field, or has one too many or out of
        bounds.
    """
    try:
        tree = json.loads(text)
        method = dict(tree["method"])
        run = dict(tree["run"])
        kind = method.pop("kind")
        if kind not in METHODS:
            raise unknown_choice(f"{source}: method kind", kind, METHODS)
        config = Config(method=METHODS[kind](**method), run=Run(**run))
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{source}: damaged, it is not the config of a run ({error!r})") from error
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{source}: damaged, {error}") from error
    return config


def changed_fields(old: Config, new: Config) -> list[str]:
    """Lists the fields in which two configs differ and on which the numbers of a run depend.

    Args:
      old: the config that a run was started with.
      new: the config that it shall go on with.

    Returns:
      One text a field, such as ``--seed (0 in the run, 1 asked for)``.
    """
    return [
        f"--{f.name.replace('_', '-')} ({before} in the run, {after} asked for)"
        for a, b in ((old.method, new.method), (old.run, new.run))
        for f in dataclasses.fields(a)
        if f.name not in FREE_FIELDS and (before := getattr(a, f.name)) != (after := getattr(b, f.name))
    ]
