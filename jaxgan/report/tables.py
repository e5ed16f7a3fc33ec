"""Tables of runs: config fields, and last metrics."""

import dataclasses
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from jaxgan.config import Config
from jaxgan.figures import metrics_of
from jaxgan.runs.tracking import Row, going_replicas


class Field(NamedTuple):
    """One field of several configs, with a value for each."""

    name: str
    values: list[str | None]  # None where a method has no such field
    changed: list[bool]  # whether each value differs from its default

    @property
    def differs(self) -> bool:
        """Whether the configs differ in this field."""
        return len(set(self.values)) > 1


def config_fields(configs: Sequence[Config]) -> list[Field]:
    """Lists the fields of configs: of the methods, then of the runs, in the order in which they first occur."""
    found = [Field("method", [config.kind for config in configs], [False] * len(configs))]
    for trees in ([config.method for config in configs], [config.run for config in configs]):
        for name in dict.fromkeys(field.name for tree in trees for field in dataclasses.fields(tree)):
            values = [_text(getattr(tree, name)) if hasattr(tree, name) else None for tree in trees]
            defaults = [getattr(type(tree), name, None) for tree in trees]
            changed = [value not in (None, _text(default)) for value, default in zip(values, defaults, strict=True)]
            found.append(Field(name, values, changed))
    return found


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def last_metrics(rows: Sequence[Row]) -> dict[str, float]:
    """Returns the last value of each metric; for replicas, the mean over those that have not diverged."""
    going = going_replicas(rows)
    by_replica = [[row for row in rows if row.get("replica") == number] for number in going] or [rows]
    newest = [{name: row[name] for row in part for name in metrics_of([row])} for part in by_replica]
    return {name: fmean(values[name] for values in newest if name in values) for name in metrics_of(newest)}
