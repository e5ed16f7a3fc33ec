"""Ahead-of-time compilation: describes TPUs that are not attached, and compiles the training function for them."""

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
    """A type of TPU chip, with numbers from https://docs.cloud.google.com/tpu/docs."""

    shape: str  # a small slice, with as many dimensions as the chip's interconnect
    peak: float  # operations per second in bfloat16
    bandwidth: float  # memory bandwidth in bytes per second
    memory: float  # bytes
    devices: int = 1  # JAX devices per chip


CHIPS = {
    "v4": Chip("2x2x1", 275e12, 1200e9, 32 * 2**30),
    "v5e": Chip("2x2", 197e12, 819e9, 16 * 2**30),
    "v5p": Chip("2x2x1", 459e12, 2765e9, 95 * 2**30),
    "v6e": Chip("2x2", 918e12, 1638e9, 32 * 2**30),
    "tpu7x": Chip("2x2x1", 2307e12, 7380e9, 192 * 2**30, devices=2),  # Ironwood
}
# Environment variables without which libtpu queries this machine for its TPU.
NO_TPU_HERE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclass(frozen=True)
class Target:
    """A slice: linked chips of one type."""

    name: str  # as the user wrote it
    chip: str
    count: int  # number of devices

    @property
    def memory(self) -> float:
        """Memory of a device in bytes."""
        return CHIPS[self.chip].memory / CHIPS[self.chip].devices

    def least_seconds(self, *, operations: float, bytes_moved: float) -> float:
        """Returns the least time of a program on one device, by the roofline of arithmetic and memory bandwidth."""
        chip = CHIPS[self.chip]
        return chip.devices * max(operations / chip.peak, bytes_moved / chip.bandwidth)


def parse_target(text: str) -> Target:
    """Parses the name of a target.

    Args:
      text: a chip and the number of chips along each dimension, such as ``v5e:4x4`` or ``v4:2x2x1``.

    Returns:
      The target.

    Raises:
      UserError: if there is no such chip, or the number of dimensions is wrong.
    """
    chip, _, shape = text.partition(":")
    if chip not in CHIPS:
        raise unknown_choice("--target", chip, CHIPS)
    example = CHIPS[chip].shape
    if not re.fullmatch(re.sub(r"\d", r"[1-9]\\d*", example), shape):
        raise UserError(f"--target: {text!r} is not allowed, {chip} needs a slice shape, such as {chip}:{example}")
    return Target(text, chip, CHIPS[chip].devices * math.prod(map(int, shape.split("x"))))


def devices(target: Target, *, compiler: str = "libtpu") -> Sequence[Device]:
    """Describes the devices of a target to JAX, for compilation only. Call it before anything loads libtpu.

    Args:
      target: the slice.
      compiler: the package that holds the TPU compiler.

    Returns:
      Its devices, in as many processes as the target has hosts.

    Raises:
      UserError: if the compiler is not installed, or does not know the slice.
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
    """Lowers the training function for devices that need not be attached.

    The method must be built for the devices that share a batch of ``batch_size``. ``images`` is the shape of the data.

    Returns:
      The lowered function, ready to compile, and the shapes of its carry on one device.
    """
    everywhere, shape = replicated(devices), images[1:]
    if replicas == 1:
        program = compile_program(method, devices, image_shape=shape, batch_size=batch_size, parallel=parallel)
        place, leading = everywhere, ()
    else:
        runs = Replicas(lambda values: method, range(replicas))
        program = compile_replicas(runs, devices, image_shape=shape, batch_size=batch_size)
        place, leading = runs.sharding(devices), (replicas,)

    def abstract(shape: tuple[int, ...], dtype: Any, sharding: Sharding = everywhere) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    seed, order = abstract(leading, jnp.uint32, place), abstract((*leading, images[0]), jnp.int32, place)
    carry = jax.tree.map(lambda x: abstract(x.shape, x.dtype, place), jax.eval_shape(program.init, seed))
    data = abstract(images, jnp.uint8), abstract(images[:1], jnp.int32)
    inputs: Any = Inputs._make((*data, order, seed, abstract((), jnp.int32)))
    arguments: Any = (carry, inputs)
    function: Any = program.train_steps
    if isinstance(function, functools.partial):  # of pmap or of replicas: its first argument is bound
        function, arguments = function.func, (*function.args, *arguments)
    shard = jax.tree.map(lambda x: jax.ShapeDtypeStruct(place.shard_shape(x.shape), x.dtype), carry)
    return function.lower(*arguments), shard


def least_bytes(carry: Carry, batch_bytes: int) -> int:
    """Returns the least bytes that a step moves: it reads and writes the state, and reads its images."""
    return sum(2 * x.size * x.dtype.itemsize for x in jax.tree.leaves(carry)) + batch_bytes


class Estimate(NamedTuple):
    """The memory and time of a program on each device of a target."""

    target: Target
    arguments: int  # bytes of the state and the data
    temporaries: int  # bytes of temporary buffers
    operations: float  # floating-point operations per step
    least_seconds: float  # per step, by the roofline model


def estimate(
    method: Method,
    target: Target,
    on: Sequence[Device],
    *,
    images: tuple[int, int, int, int],
    batch_size: int,
    replicas: int = 1,
) -> Estimate:
    """Compiles the training function for a target and estimates its cost; see :func:`lower_training`.

    Raises:
      UserError: if the program does not fit into the memory of the target.
    """
    lowered, carry = lower_training(method, on, images=images, batch_size=batch_size, replicas=replicas)
    cache_enabled = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)  # programs for a topology cannot be cached
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"--target: {target.name!r} cannot run this program ({reason}); use a smaller --batch-size"
        ) from error
    finally:
        jax.config.update("jax_enable_compilation_cache", cache_enabled)
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
