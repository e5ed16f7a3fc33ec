"""Compiling the function that trains for a target, and reading what came out."""

import dataclasses
import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.stages import Compiled, Lowered

from aot import findings, hlo, properties
from aot.roofline import roofline
from aot.targets import Target
from jaxgan import methods
from jaxgan.config import Config
from jaxgan.errors import UserError
from jaxgan.methods import Batch
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Carry, Inputs, compile_program

Results = dict[str, Any]  # plain data, what the JSON file holds

MNIST = (60_000, 28, 28, 1)  # what the recipes train on


def lower(
    config: Config, devices: Sequence[jax.Device], *, parallel: str, images: tuple[int, int, int, int] = MNIST
) -> tuple[Lowered, Carry]:
    """Traces a recipe's chunk function, the very one that trains, for devices that need not be there.

    Args:
      config: the recipe's.
      devices: where it would run.
      parallel: the front end for several devices.
      images: shape of the data.

    Returns:
      The function, ready to compile, and its first argument as shapes.
    """
    image_shape, everywhere = images[1:], replicated(devices)
    program = compile_program(
        lambda axis_name: methods.build(config.method, image_shape=image_shape, axis_name=axis_name),
        devices,
        image_shape=image_shape,
        batch_size=config.run.batch_size,
        parallel=parallel,
    )

    def abstract(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=everywhere)

    seed, indices = abstract((), jnp.uint32), abstract(images[:1], jnp.int32)
    carry = jax.tree.map(lambda x: abstract(x.shape, x.dtype), jax.eval_shape(program.init, seed))
    inputs = Inputs(abstract(images, jnp.uint8), indices, indices, seed, abstract((), jnp.int32))
    return lower_function(program.advance, carry, inputs), carry


def lower_function(advance: Callable, *arguments: Any) -> Lowered:
    """Traces a compiled function, also one that pmap was given an argument of beforehand."""
    if isinstance(advance, functools.partial):
        return advance.func.lower(*advance.args, *arguments)
    return advance.lower(*arguments)


def traced_flops(config: Config, target: Target) -> float:
    """Counts the floating-point operations of a chip's part of a step before any compiler has touched it."""
    method = methods.build(config.method, image_shape=MNIST[1:])
    size = config.run.batch_size // target.count
    key = jax.eval_shape(jax.random.key, 0)
    index = jax.ShapeDtypeStruct((size,), jnp.int32)
    batch = Batch(jax.ShapeDtypeStruct((size, *MNIST[1:]), jnp.float32), index, index)
    traced = jax.jit(method.step).trace(jax.eval_shape(method.init, key), batch, key)
    return traced.lower(lowering_platforms=(target.chip.platform,)).cost_analysis()["flops"]


def fitted(config: Config, target: Target, *, batch_size: int | None) -> Config:
    """Gives a recipe another batch, or an image a chip where its own is smaller, and checks that chips can share it.

    Raises:
      UserError: if they cannot.
    """
    size = max(config.run.batch_size, target.count) if batch_size is None else batch_size
    if size < 1 or size % target.count:
        allowed = f"it must be a multiple of the {target.count} chips of {target.name}"
        near = max(1, round(size / target.count)) * target.count
        raise UserError(f"--batch-size: {size} is not allowed, {allowed}, such as {near}")
    return dataclasses.replace(config, run=dataclasses.replace(config.run, batch_size=size))


def prove(
    config: Config, target: Target, devices: Sequence[jax.Device], *, recipe: str, parallel: str, effort: float
) -> Results:
    """Compiles a recipe's chunk for a target and reads what came out.

    Args:
      config: the recipe's.
      target: which chips.
      devices: they.
      recipe: what it is called.
      parallel: the front end.
      effort: what the compiler puts into fast programs: 0 its own measure, -1 as little as it can.

    Returns:
      What was found in the program, for one step and one chip, and which properties hold.
    """
    began = time.perf_counter()
    lowered, carry = lower(config, devices, parallel=parallel)
    tpu = target.chip.platform == "tpu"
    options = {"exec_time_optimization_effort": effort} if tpu else {}
    compiled = lowered.compile(options)
    seconds = time.perf_counter() - began
    flops = compiled.cost_analysis()["flops"] if tpu else traced_flops(config, target)
    return {
        "recipe": recipe,
        "target": target.name,
        "platform": target.chip.platform,
        "chip": target.chip.name,
        "chips": target.count,
        "hosts": len({d.process_index for d in devices}),
        "parallel": parallel if target.count > 1 else "jit",
        "batch_a_chip": config.run.batch_size // target.count,
        "flops": flops,
        "compile_seconds": seconds,
        **read(compiled, carry, target, flops=flops),
    }


def read(compiled: Compiled, carry: Carry, target: Target, *, flops: float) -> Results:
    """Reads a compiled chunk.

    Args:
      compiled: the program.
      carry: its first argument, as shapes.
      target: what it is compiled for.
      flops: floating-point operations of a step on a chip.

    Returns:
      Its part of the results.
    """
    program, memory = hlo.parse(compiled.as_text()), compiled.memory_analysis()
    step, crossings = (find(program, program.body) for find in (findings.collectives, findings.crossings))
    products = findings.products(program)
    hbm_bytes, reduced = findings.traffic(program, program.body), _bytes(step, "all-reduce")
    gathered, crossing = _bytes(step, "all-gather"), sum(c.bytes for c in crossings)
    times = roofline(
        target,
        flops=flops,
        hbm_bytes=hbm_bytes,
        reduced_bytes=reduced,
        gathered_bytes=gathered,
        crossing_bytes=crossing,
    )
    facts = {
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "code_bytes": memory.generated_code_size_in_bytes,
        "aliased_bytes": memory.alias_size_in_bytes,
        "aliased": len(program.aliased),
        "state_arrays": len(jax.tree.leaves(carry)),
        "state_bytes": sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(carry)),
        "collectives": dict(Counter(c.kind for c in step)),
        "collective_bytes": sum(c.bytes for c in step),
        "slices": target.slices,
        "crossings": len(crossings),
        "crossing_bytes": crossing,
        "gradient_bytes": sum(4 * n for n in properties.gradient_sizes(carry).elements()),
        "products": products.count if target.chip.platform == "tpu" else None,
        "products_taken_apart": len(products.taken_apart),
        "hbm_bytes": hbm_bytes,
        "roofline": {**times._asdict(), "seconds": times.seconds, "bound": times.bound},
        "cycles": sum(i.cycles for _, i in program.kernels(program.body)),
    }
    failures = [
        *properties.donation_failures(program, carry),
        *properties.collective_failures(
            program, carry, chips=target.count, slices=target.slices, joined=target.chip.platform == "cuda"
        ),
        *(properties.product_failures(products) if target.chip.platform == "tpu" else []),
        *[
            f"{name} writes an array as large as the data in every step"
            for name in findings.whole_copies(program, program.body, size=math.prod(MNIST))
        ],
    ]
    if complaint := properties.memory_complaint(compiled, target):
        failures.append(complaint)
    return facts | {"failures": failures}


def _bytes(found: Sequence[findings.Collective], kind: str) -> float:
    return sum(c.bytes for c in found if c.kind == kind)


def too_large(config: Config, target: Target, devices: Sequence[jax.Device], *, effort: float) -> str | None:
    """Compiles a chunk whose data alone is larger than any chip's memory: the negative control.

    Args:
      config: the recipe's.
      target: which chips.
      devices: one of them.
      effort: what the compiler puts into fast programs.

    Returns:
      The compiler's complaint; where it has none, what its own count of memory says; None if nothing was noticed.
    """
    images = (200_000_000, *MNIST[1:])
    options = {"exec_time_optimization_effort": effort} if target.chip.platform == "tpu" else {}
    try:
        compiled = lower(config, devices, parallel="auto", images=images)[0].compile(options)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return str(error).splitlines()[0]
    complaint = properties.memory_complaint(compiled, target)
    return complaint and f"compiled, but {complaint}"
