"""The TPUs that programs are compiled for, described to JAX without having one."""

import importlib.util
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import jax
from jax.experimental import topologies

from jaxgan.errors import UserError, unknown_choice


@dataclass(frozen=True)
class Chip:
    """A kind of chip, by the numbers of https://docs.cloud.google.com/tpu/docs/system-architecture-tpu-vm."""

    shape: str  # a small slice, with as many dimensions as the chip's network has
    peak: float  # operations per second in bfloat16
    bandwidth: float  # bytes per second of its memory
    devices: int = 1  # that JAX sees


CHIPS = {
    "v4": Chip("2x2x1", 275e12, 1228e9),
    "v5e": Chip("2x2", 197e12, 819e9),
    "v5p": Chip("2x2x1", 459e12, 2765e9),
    "v6e": Chip("2x2", 918e12, 1638e9),
    "tpu7x": Chip("2x2x1", 2307e12, 7380e9, devices=2),  # Ironwood
}
# Without these libtpu asks the machine which TPU it is.
NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclass(frozen=True)
class Target:
    """A slice of linked chips of one kind."""

    name: str  # as the user wrote it
    chip: str
    count: int  # of devices

    def least_seconds(self, *, operations: float, bytes_moved: float) -> float:
        """The time below which no program can stay on one device: that of its arithmetic, or of its memory."""
        chip = CHIPS[self.chip]
        return chip.devices * max(operations / chip.peak, bytes_moved / chip.bandwidth)


def parse_target(text: str) -> Target:
    """Reads the name of a target.

    Args:
      text: a chip and how many of them lie along each dimension, such as ``v5e:4x4`` or ``v4:2x2x1``.

    Returns:
      The target.

    Raises:
      UserError: if there is no such chip, or its network has other dimensions.
    """
    chip, _, shape = text.partition(":")
    if chip not in CHIPS:
        raise unknown_choice("--target", chip, CHIPS)
    example = CHIPS[chip].shape
    if not re.fullmatch(re.sub(r"\d", r"[1-9]\\d*", example), shape):
        raise UserError(f"--target: {text!r} is not known, {chip} takes chips in a shape, such as {chip}:{example}")
    return Target(text, chip, CHIPS[chip].devices * math.prod(map(int, shape.split("x"))))


def devices(target: Target, *, compiler: str = "libtpu") -> Sequence[jax.Device]:
    """Describes the devices of a target to JAX, for compiling only. Call it before anything touches libtpu.

    Args:
      target: which chips.
      compiler: the package that holds the TPU compiler.

    Returns:
      Its devices, over as many processes as the target has hosts.

    Raises:
      UserError: if the compiler is missing, or knows no such slice.
    """
    if importlib.util.find_spec(compiler) is None:
        install = "python -m pip install -e '.[tpu-aot]'"
        raise UserError(f"--target: the TPU compiler is not installed; {install}")
    os.environ.update({name: os.environ.get(name, value) for name, value in NO_TPU_HERE.items()})
    options = {"chips_per_host_bounds": (1, 1, 1)} if target.count == CHIPS[target.chip].devices else {}
    if target.chip == "v4":
        options["chip_config_name"] = "megacore"  # a chip's two cores as one device, as on Cloud TPU
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=target.name, **options).devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise UserError(f"--target: {target.name!r} is not known to the compiler ({error})") from error
