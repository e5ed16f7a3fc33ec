"""TPUs that are not here: described to JAX, and the function that trains compiled for them."""

import functools
import importlib.util
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.stages import Lowered

from jaxgan.errors import UserError, unknown_choice
from jaxgan.methods import Method
from jaxgan.runtime.devices import Device, Sharding, replicated
from jaxgan.runtime.program import Carry, Inputs, compile_program
from jaxgan.runtime.replicas import Replicas, compile_replicas


@dataclass(frozen=True)
class Chip:
    """A kind of chip, by the numbers that https://docs.cloud.google.com/tpu/docs gives for it."""

    shape: str  # a small slice, with as many dimensions as the chip's network has
    peak: float  # operations per second in bfloat16
    bandwidth: float  # bytes per second of its memory
    memory: float  # bytes
    devices: int = 1  # that JAX sees


CHIPS = {
    "v4": Chip("2x2x1", 275e12, 1200e9, 32 * 2**30),
    "v5e": Chip("2x2", 197e12, 819e9, 16 * 2**30),
    "v5p": Chip("2x2x1", 459e12, 2765e9, 95 * 2**30),
    "v6e": Chip("2x2", 918e12, 1638e9, 32 * 2**30),
    "tpu7x": Chip("2x2x1", 2307e12, 7380e9, 192 * 2**30, devices=2),  # Ironwood
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

    @property
    def memory(self) -> float:
        """Bytes of memory of a device."""
        return CHIPS[self.chip].memory / CHIPS[self.chip].devices

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


def devices(target: Target, *, compiler: str = "libtpu") -> Sequence[Device]:
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
    options: dict[str, Any] = {"chips_per_host_bounds": (1, 1, 1)} if target.count == CHIPS[target.chip].devices else {}
    if target.chip == "v4":
        options["chip_config_name"] = "megacore"  # a chip's two cores as one device, as on Cloud TPU
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=target.name, **options).devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        raise UserError(f"--target: {target.name!r} is not known to the compiler ({error})") from error


def lower_training(
    method: Method,
    devices: Sequence[Device],
    *,
    images: tuple[int, int, int, int],
    batch_size: int,
    parallel: str = "auto",
    replicas: int = 1,
) -> tuple[Lowered, Carry]:
    """Traces the function that trains for devices that need not be there.

    The method is built for the devices that share a batch of ``batch_size``. ``images`` is the shape of the data.

    Returns:
      The function, ready to compile, and its first argument as shapes, as one device holds it.
    """
    everywhere, shape = replicated(devices), images[1:]
    if replicas == 1:
        program = compile_program(method, devices, image_shape=shape, batch_size=batch_size, parallel=parallel)
        place, each = everywhere, ()
    else:
        runs = Replicas(lambda values: method, range(replicas))
        program = compile_replicas(runs, devices, image_shape=shape, batch_size=batch_size)
        place, each = runs.sharding(devices), (replicas,)

    def abstract(shape: tuple[int, ...], dtype: Any, sharding: Sharding = everywhere) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    seed, order = abstract(each, jnp.uint32, place), abstract((*each, images[0]), jnp.int32, place)
    carry = jax.tree.map(lambda x: abstract(x.shape, x.dtype, place), jax.eval_shape(program.init, seed))
    data = abstract(images, jnp.uint8), abstract(images[:1], jnp.int32)
    inputs: Any = Inputs._make((*data, order, seed, abstract((), jnp.int32)))
    arguments: Any = (carry, inputs)
    function: Any = program.train_steps
    if isinstance(function, functools.partial):  # pmap's or that of replicas, which has an argument already
        function, arguments = function.func, (*function.args, *arguments)
    held = jax.tree.map(lambda x: jax.ShapeDtypeStruct(place.shard_shape(x.shape), x.dtype), carry)
    return function.lower(*arguments), held


def least_bytes(carry: Carry, batch_bytes: int) -> int:
    """The bytes that a step moves at least: it reads and writes the state, and reads its images."""
    return sum(2 * x.size * x.dtype.itemsize for x in jax.tree.leaves(carry)) + batch_bytes


class Estimate(NamedTuple):
    """What a program would take on each device of a target."""

    target: Target
    arguments: int  # bytes of the state and the data
    temporaries: int  # bytes besides
    operations: float  # floating-point operations per step
    least_seconds: float  # per step, by the roofline


def estimate(
    method: Method,
    target: Target,
    on: Sequence[Device],
    *,
    images: tuple[int, int, int, int],
    batch_size: int,
    replicas: int = 1,
) -> Estimate:
    """Compiles the function that trains for a target, and says what it takes there; see :func:`lower_training`.

    Raises:
      UserError: if the program does not fit into the memory of the target.
    """
    lowered, carry = lower_training(method, on, images=images, batch_size=batch_size, replicas=replicas)
    stored = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)  # what is compiled for a topology cannot be stored
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"--target: {target.name!r} cannot run this program ({reason}); give smaller batches"
        ) from error
    finally:
        jax.config.update("jax_enable_compilation_cache", stored)
    memory: Any = compiled.memory_analysis()
    operations = compiled.cost_analysis()["flops"]  # pyright: ignore[reportOptionalSubscript]
    moved = least_bytes(carry, math.prod(images[1:]) * batch_size * replicas // target.count)
    return Estimate(
        target,
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        operations,
        target.least_seconds(operations=operations, bytes_moved=moved),
    )
