"""The environments of a run: versions, system and devices of each attempt that differs from the previous one."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version

import jaxgan
from jaxgan.runs.workdir import Workdir, write_atomically
from jaxgan.runtime.devices import Device

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")

Environment = dict[str, str]


def versions(*packages: str) -> Environment:
    """Returns the versions of Python, of jaxgan and of other packages."""
    own = {"python": platform.python_version(), "jaxgan": jaxgan.__version__}
    return own | {name: version(name) for name in packages}


def describe(devices: Sequence[Device]) -> Environment:
    """Returns the installed versions, the system, and the devices."""
    about = {"devices": f"{len(devices)} {devices[0].device_kind}", "system": platform.platform()}
    return versions(*PACKAGES) | about


def remember(workdir: Workdir, devices: Sequence[Device]) -> None:
    """Records the environment of a run, if it differs from that of the previous attempt."""
    previous, now = recall(workdir), describe(devices)
    if previous[-1:] != [now]:
        write_atomically(workdir.environment, json.dumps([*previous, now], indent=2) + "\n")


def recall(workdir: Workdir) -> list[Environment]:
    """Reads the environments of a run; empty for a run of an earlier version, or if the file is damaged."""
    try:
        return [
            {str(name): str(value) for name, value in environment.items()}
            for environment in json.loads(workdir.environment.read_text())
        ]
    except (OSError, ValueError, AttributeError, TypeError):
        return []
