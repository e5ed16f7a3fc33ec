"""The chips that programs are compiled for: their published peaks, their devices without having one, and rooflines."""

import contextlib
import importlib.util
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
from jax.experimental import topologies

from jaxgan.errors import UserError, unknown_choice


@dataclass(frozen=True)
class Chip:
    """The published figures of one chip."""

    name: str
    platform: str  # tpu or cuda, as JAX calls the compiler
    peak_flops: float  # per second, of the precision that float32 products are computed in by default
    hbm_bytes: float
    hbm_bytes_per_second: float
    link_bytes_per_second: float  # out of a chip to the others, all links together, one direction
    dimensions: int = 1  # of the network that chips form
    slice_bytes_per_second: float | None = None  # out of a chip to other slices, by the data center's network


# Google Cloud's pages on each TPU version; products of float32 arrays pass the matrix unit as bfloat16. NVIDIA's H100
# data sheet (SXM5): dense TF32, HBM3, and half of the 900 GB/s that NVLink has in both directions. The share of a chip
# in the data center's network is published for v5p; for v5e (6.4 Tb/s) and v6e (25.6 Tb/s) that of a pod of 256 chips.
CHIPS: Mapping[str, Chip] = {
    "v4": Chip("TPU v4", "tpu", 275e12, 32 * 2**30, 1228e9, 150e9, dimensions=3),
    "v5e": Chip("TPU v5e", "tpu", 197e12, 16 * 2**30, 819e9, 200e9, 2, 6.4e12 / 8 / 256),
    "v5p": Chip("TPU v5p", "tpu", 459e12, 95 * 2**30, 2765e9, 600e9, 3, 50e9 / 8),
    "v6e": Chip("TPU v6e", "tpu", 918e12, 32 * 2**30, 1640e9, 400e9, 2, 25.6e12 / 8 / 256),
    "h100": Chip("NVIDIA H100 SXM", "cuda", 494.7e12, 80e9, 3350e9, 450e9),
}
PACKAGES = {"tpu": ("libtpu", "python -m pip install -e '.[tpu-aot]'")}
PACKAGES["cuda"] = (
    "jax_plugins.xla_cuda12",
    f"python -m pip install --no-deps jax-cuda12-plugin=={jax.__version__} jax-cuda12-pjrt=={jax.__version__}",
)
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
    """Linked chips of one kind."""

    chip: Chip
    name: str  # as the user wrote it
    shape: tuple[int, ...]  # of a slice, within which chips are linked to one another
    slices: int = 1  # which only the data center's network joins

    @property
    def count(self) -> int:
        """How many chips there are."""
        return math.prod(self.shape) * self.slices


def parse_target(text: str) -> Target:
    """Reads the name of a target.

    Args:
      text: a chip and how many of them lie along each dimension, such as ``v5e:4x4``, ``v4:2x2x1`` or ``h100:8``; for
        several slices of TPUs their number too, such as ``v5e:4x4x2slices``.

    Returns:
      The target.

    Raises:
      UserError: if there is no such chip, or its network has other dimensions.
    """
    name, _, rest = text.partition(":")
    if name not in CHIPS:
        raise unknown_choice("--target", name, CHIPS)
    chip = CHIPS[name]
    example = {1: "8", 2: "2x2", 3: "2x2x1"}[chip.dimensions]
    number = r"[1-9]\d*"
    slices = f"(?:x({number})slices)?" if chip.slice_bytes_per_second else "()"
    found = re.fullmatch(f"({'x'.join([number] * chip.dimensions)}){slices}", rest)
    if not found:
        or_slices = f", or slices, such as {name}:{example}x2slices" * (chip.slice_bytes_per_second is not None)
        shapes = f"{name} takes chips in a shape, such as {name}:{example}{or_slices}"
        raise UserError(f"--target: {text!r} is not known, {shapes}")
    return Target(chip, text, tuple(map(int, found[1].split("x"))), int(found[2] or 1))


def require_compiler(platform: str, packages: Mapping[str, tuple[str, str]] = PACKAGES) -> None:
    """Raises UserError, with the command that installs it, unless the compiler for a platform is installed."""
    package, command = packages[platform]
    with contextlib.suppress(ModuleNotFoundError):  # nor is the package above it
        if importlib.util.find_spec(package):
            return
    raise UserError(f"--target: the {platform} compiler is not installed; {command}")


def devices(target: Target) -> Sequence[jax.Device]:
    """Describes the devices of a target to JAX, for compiling only. Call it before anything touches libtpu.

    Args:
      target: which chips.

    Returns:
      Its devices, one per chip, over as many processes as the target has hosts.

    Raises:
      UserError: if the compiler is missing, or knows no such slice.
    """
    require_compiler(target.chip.platform)
    shape = "x".join(map(str, target.shape))
    try:
        if target.chip.platform == "cuda":
            config = (Path(__file__).parent / "h100.txtpb").read_text()
            options = {"topology": f"1x1x{target.count}", "target_config": config}
            return topologies.get_topology_desc(platform="cuda", topology_name="", **options).devices
        os.environ.update({name: os.environ.get(name, value) for name, value in NO_TPU_HERE.items()})
        options = {"chips_per_host_bounds": (1, 1, 1)} if math.prod(target.shape) == 1 else {}
        kind = target.name.partition(":")[0]
        if kind == "v4":
            options["chip_config_name"] = "megacore"  # a chip's two cores as one device, as on Cloud TPU
        if target.slices > 1:
            options["num_slices"] = target.slices
        return topologies.get_topology_desc(platform="tpu", topology_name=f"{kind}:{shape}", **options).devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise UserError(f"--target: {target.name!r} is not known to the compiler ({error})") from error


class Roofline(NamedTuple):
    """The seconds that each of a chip's peaks leaves a step."""

    compute: float
    memory: float
    links: float
    network: float = 0.0  # between slices

    @property
    def seconds(self) -> float:
        """The longest of them: the time if all go on at once and none waits."""
        return max(self)

    @property
    def bound(self) -> str:
        """Which of them that is."""
        return max(self._fields, key=lambda name: getattr(self, name))


def roofline(
    target: Target,
    *,
    flops: float,
    hbm_bytes: float,
    reduced_bytes: float,
    gathered_bytes: float = 0,
    crossing_bytes: float = 0,
) -> Roofline:
    """Divides what a step does on each chip by the chip's peaks.

    Args:
      target: the chips that share a step.
      flops: floating-point operations.
      hbm_bytes: read from memory or written to it.
      reduced_bytes: input of all-reduces within a slice. A ring of n chips sends 2 (n - 1) / n times as much out of
        each, and no algorithm less.
      gathered_bytes: input of all-gathers within a slice; n - 1 times as much comes into each chip.
      crossing_bytes: input of sums over slices.

    Returns:
      The times, without any wait of one exchange for another.
    """
    chip, chips, slices = target.chip, target.count // target.slices, target.slices
    linked = 2 * (chips - 1) / chips * reduced_bytes + (chips - 1) * gathered_bytes
    return Roofline(
        flops / chip.peak_flops,
        hbm_bytes / chip.hbm_bytes_per_second,
        linked / chip.link_bytes_per_second,
        2 * (slices - 1) / slices * crossing_bytes / chip.slice_bytes_per_second if slices > 1 else 0.0,
    )
