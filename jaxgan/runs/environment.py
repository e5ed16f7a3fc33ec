"""What a run was trained with: versions, system and devices, of each attempt that differs from the one before."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version

import jaxgan
from jaxgan.runs.workdir import Workdir, write_atomically
from jaxgan.runtime.devices import Device

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")

Environment = dict[str, str]


def describe(devices: Sequence[Device]) -> Environment:
    """Names the versions here, the system, and some devices."""
    found = {"python": platform.python_version(), "jaxgan": jaxgan.__version__}
    found |= {name: version(name) for name in PACKAGES}
    return found | {"devices": f"{len(devices)} {devices[0].device_kind}", "system": platform.platform()}


def remember(workdir: Workdir, devices: Sequence[Device]) -> None:
    """Writes down what a run trains with, if it is not what it last trained with."""
    known, now = recall(workdir), describe(devices)
    if known[-1:] != [now]:
        write_atomically(workdir.environment, json.dumps([*known, now], indent=2) + "\n")


def recall(workdir: Workdir) -> list[Environment]:
    """Reads what a run was trained with; nothing of an earlier version's run, or from a damaged file."""
    try:
        return [
            {str(name): str(value) for name, value in each.items()}
            for each in json.loads(workdir.environment.read_text())
        ]
    except (OSError, ValueError, AttributeError, TypeError):
        return []
