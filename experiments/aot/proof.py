"""Compiling the function that trains for a target, and what has to hold of the result."""

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

from aot import findings, hlo
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


def traced_flops(config: Config, *, chips: int) -> float:
    """Counts the floating-point operations of a chip's part of a step before any compiler has touched it."""
    method = methods.build(config.method, image_shape=MNIST[1:])
    size = config.run.batch_size // chips
    key = jax.eval_shape(jax.random.key, 0)
    index = jax.ShapeDtypeStruct((size,), jnp.int32)
    batch = Batch(jax.ShapeDtypeStruct((size, *MNIST[1:]), jnp.float32), index, index)
    return jax.jit(method.step).lower(jax.eval_shape(method.init, key), batch, key).cost_analysis()["flops"]


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
    flops = compiled.cost_analysis()["flops"] if tpu else traced_flops(config, chips=target.count)
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
        "gradient_bytes": sum(4 * n for n in gradient_sizes(carry).elements()),
        "products": products.count if target.chip.platform == "tpu" else None,
        "products_taken_apart": len(products.taken_apart),
        "hbm_bytes": hbm_bytes,
        "roofline": {**times._asdict(), "seconds": times.seconds, "bound": times.bound},
        "cycles": sum(i.cycles for _, i in program.kernels(program.body)),
    }
    failures = [
        *donation_failures(program, carry),
        *collective_failures(
            program, carry, chips=target.count, slices=target.slices, joined=target.chip.platform == "cuda"
        ),
        *(product_failures(products) if target.chip.platform == "tpu" else []),
        *[
            f"{name} writes an array as large as the data in every step"
            for name in findings.whole_copies(program, program.body, size=math.prod(MNIST))
        ],
    ]
    if complaint := memory_complaint(compiled, target):
        failures.append(complaint)
    return facts | {"failures": failures}


def _bytes(found: Sequence[findings.Collective], kind: str) -> float:
    return sum(c.bytes for c in found if c.kind == kind)


def memory_complaint(compiled: Compiled, target: Target) -> str | None:
    """Says what a program takes of a chip's memory, if that is more than there is."""
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
    held += memory.output_size_in_bytes - memory.alias_size_in_bytes
    if held <= target.chip.hbm_bytes:
        return None
    return f"the program takes {held / 1e9:,.1f} GB of the {target.chip.hbm_bytes / 1e9:,.1f} GB of a chip"


def networks(carry: Carry) -> list[Any]:
    """The networks of a state, whatever it is the state of."""
    state = carry.state
    return [state.generator, state.discriminator] if hasattr(state, "generator") else [state.network]


def gradient_sizes(carry: Carry) -> Counter[int]:
    """Counts the arrays of parameters that get a gradient, by their number of elements."""
    return Counter(x.size for network in networks(carry) for x in jax.tree.leaves(network.params))


def donation_failures(program: hlo.Program, carry: Carry) -> list[str]:
    """Says which parts of the state the program has in memory twice, where it should write over its argument."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(carry)]
    return [f"{path} is not donated" for i, path in enumerate(paths) if i not in program.aliased]


def product_failures(products: findings.Products) -> list[str]:
    """Says which products are not on a TPU's matrix unit, but for those of matrices with vectors.

    A product with a vector, such as that of the layer which ends in one logit, is a sum to the compiler.
    """
    convolutions = [name for name in products.taken_apart if name.endswith("/conv_general_dilated")]
    return [f"{name} is outside of the matrix unit" for name in [*products.elsewhere, *convolutions]]


def collective_failures(
    program: hlo.Program, carry: Carry, *, chips: int, slices: int = 1, joined: bool = False
) -> list[str]:
    """Says what chips exchange that they need not, or fail to.

    In a step each array of gradients is summed over the chips exactly once. Beside it only statistics of batch
    normalization and scalars (metrics) are, and nothing but sums is exchanged. The compiler may merge sums into one
    instruction, so that arrays are counted, by their sizes, and not instructions. Between slices each chip sends its
    part of what its slice has summed, which may first be dealt out anew, and the slice's chips then gather the parts.

    Args:
      program: a compiled chunk.
      carry: its first argument, as shapes.
      chips: how many share a step.
      slices: which they are in; for more than one the compiler joins arrays, and pads them to tiles.
      joined: whether the compiler lays arrays that are summed end to end, as the CUDA compiler does. Then only their
        elements can be counted: those of all gradients, and fewer more than the smallest network has.

    Returns:
      One line for each thing that is wrong.
    """
    step, crossings = (find(program, program.body) for find in (findings.collectives, findings.crossings))
    outside = sum(len(find(program, program.entry)) for find in (findings.collectives, findings.crossings))
    outside -= len(step) + len(crossings)
    served = [c for c in step if slices > 1 and c.serves_a_crossing]
    failures = [
        f"a step has an {c.kind} of {c.bytes:.0f} bytes"
        for c in [*step, *crossings]
        if c.kind != "all-reduce" and c not in served
    ]
    if outside:
        failures.append(f"{outside} collectives lie outside of the loop over steps")
    if chips == 1:
        return failures + [f"an {c.kind} on a single chip" for c in step]
    found, wanted = findings.reduced_sizes(step), gradient_sizes(carry)
    if joined or slices > 1:
        least = sum(wanted.elements())
        most = least + min(sum(x.size for x in jax.tree.leaves(network.params)) for network in networks(carry))
        totals = {"summed": sum(found.elements())}
        if slices > 1:
            parts = sum(array.size for c in served if c.kind == "all-gather" for array in c.operands)
            sent = sum(array.size for c in crossings for array in c.operands)
            totals["summed over slices"] = sent + (chips // slices - 1) * parts
        return failures + [
            f"{total:,} elements are {how}, not {least:,} of gradients and statistics to less than {most:,}"
            for how, total in totals.items()
            if not least <= total < most
        ]
    missing, more = wanted - found, found - wanted
    statistics = {x.size for network in networks(carry) for x in jax.tree.leaves(network.batch_stats)} | {1}
    failures += [f"no gradient of {size} elements is summed, {n} too few" for size, n in missing.items()]
    failures += [
        f"{n} arrays of {size} elements are summed that are neither gradients nor statistics of a batch"
        for size, n in more.items()
        if size not in statistics
    ]
    return failures


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
    complaint = memory_complaint(compiled, target)
    return complaint and f"compiled, but {complaint}"
