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

CHIPS = {"v4": "2x2x1", "v5e": "2x2", "v5p": "2x2x1", "v6e": "2x2"}  # with a shape of so many dimensions as they take
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
    count: int


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
    if not re.fullmatch(re.sub(r"\d", r"[1-9]\\d*", CHIPS[chip]), shape):
        raise UserError(f"--target: {text!r} is not known, {chip} takes chips in a shape, such as {chip}:{CHIPS[chip]}")
    return Target(text, chip, math.prod(map(int, shape.split("x"))))


def devices(target: Target, *, compiler: str = "libtpu") -> Sequence[jax.Device]:
    """Describes the devices of a target to JAX, for compiling only. Call it before anything touches libtpu.

    Args:
      target: which chips.
      compiler: the package that holds the TPU compiler.

    Returns:
      Its devices, one per chip, over as many processes as the target has hosts.

    Raises:
      UserError: if the compiler is missing, or knows no such slice.
    """
    if importlib.util.find_spec(compiler) is None:
        install = "python -m pip install -e '.[tpu-aot]'"
        raise UserError(f"--target: the TPU compiler is not installed; {install}")
    os.environ.update({name: os.environ.get(name, value) for name, value in NO_TPU_HERE.items()})
    options = {"chips_per_host_bounds": (1, 1, 1)} if target.count == 1 else {}
    if target.chip == "v4":
        options["chip_config_name"] = "megacore"  # a chip's two cores as one device, as on Cloud TPU
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=target.name, **options).devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise UserError(f"--target: {target.name!r} is not known to the compiler ({error})") from error
