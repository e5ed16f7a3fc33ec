"""The machines that programs are compiled for, without having one: their published figures, and their devices."""

import contextlib
import importlib.metadata
import importlib.util
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.experimental import topologies

from jaxgan.errors import UserError, unknown_choice


@dataclass(frozen=True)
class Chip:
    """What the maker publishes of one chip."""

    name: str
    platform: str  # tpu or cuda, as JAX calls the compiler
    peak_flops: float  # a second, of the precision that float32 products are computed in by default
    hbm_bytes: float
    hbm_bytes_per_second: float
    link_bytes_per_second: float  # out of a chip to the others, all links together, one direction
    dimensions: int = 1  # of the network that chips form
    slice_bytes_per_second: float | None = None  # out of a chip to other slices, by the data center's network


# Google Cloud's pages on each TPU version; products of float32 arrays pass the matrix unit as bfloat16. NVIDIA's H100
# data sheet (SXM5): dense TF32, HBM3, and half of the 900 GB/s that NVLink has in both directions. What a chip has of
# the data center's network is published for v5p, and of a pod of 256 chips for v5e (6.4 Tb/s) and v6e (25.6 Tb/s).
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
# libtpu would otherwise ask the machine which TPU it is.
NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclass(frozen=True)
class Target:
    """Some chips of one kind, wired up."""

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


def require_compiler(platform: str) -> None:
    """Checks that the compiler for a platform is installed.

    Args:
      platform: ``tpu`` or ``cuda``.

    Raises:
      UserError: if it is not, with the command that installs it.
    """
    package, command = PACKAGES[platform]
    if _missing(package):
        raise UserError(f"--target: the {platform} compiler is not installed; {command}")


def _missing(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ModuleNotFoundError:
        return True


def versions() -> list[str]:
    """Names the versions of JAX and of the compilers that are installed."""
    found = []
    for name in ("jax", "libtpu", "jax-cuda12-pjrt"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return found


def devices(target: Target) -> Sequence[jax.Device]:
    """Describes the devices of a target to JAX, for compiling only; call it before anything touches libtpu.

    Args:
      target: which chips.

    Returns:
      Its devices, one a chip, over as many processes as the target has hosts.

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
