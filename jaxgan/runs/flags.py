"""The command line of a run: a flag for each field of its method's config and of the run."""

import dataclasses
import sys
from collections.abc import Sequence

import tyro

from jaxgan.config import RENAMED_FIELDS, Config, Run
from jaxgan.errors import parse, require_values

OWN_FIELDS = {"process_index", "coordinator", "data_dir"}  # may differ between processes


def read_flags(default: Config, argv: Sequence[str] | None, *, program: str | None = None) -> Config:
    """Parses the flags of a command to a config, not yet validated; missing flags keep the default.

    Raises:
      UserError: if a flag is unknown or its value cannot be parsed.
    """
    argv = [_renamed(flag) for flag in (sys.argv[1:] if argv is None else argv)]
    fields = [("method", type(default.method), default.method), ("run", Run, default.run)]
    flags = dataclasses.make_dataclass("Flags", [(name, kind) for name, kind, _ in fields])
    start = flags(**{name: value for name, _, value in fields})
    options = (tyro.conf.OmitArgPrefixes,)
    every = [field for _, kind, _ in fields for field in dataclasses.fields(kind)]
    defaults = {f"--{field.name.replace('_', '-')}": field.default for field in every}
    require_values(argv, lists=[name for name, value in defaults.items() if isinstance(value, tuple)])
    read = parse(
        lambda: tyro.cli(flags, args=argv, default=start, config=options, prog=program or default.kind),
        flags=defaults,
    )
    return Config(read.method, read.run)


def _renamed(flag: str) -> str:
    """Returns the current name of a flag, which may have been renamed since an earlier version."""
    name, equals, value = flag.partition("=")
    old = name.removeprefix("--").replace("-", "_")
    if not name.startswith("--") or old not in RENAMED_FIELDS:
        return flag
    return f"--{RENAMED_FIELDS[old].replace('_', '-')}{equals}{value}"


def flags_of(config: Config) -> dict[str, str]:
    """Returns the fields of a config that must be the same in all processes, as text."""
    parts = {"kind": config.kind, **vars(config.method), **vars(config.run)}
    per_process = OWN_FIELDS | ({"workdir"} if config.run.mirror else set())
    return {name: str(value) for name, value in parts.items() if name not in per_process}
