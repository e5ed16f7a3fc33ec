"""Compiles the function that trains for a target, and reads the program: what a step costs, exchanges and moves."""

import dataclasses
import functools
import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.stages import Compiled, Lowered
from studies.aot import hlo
from studies.aot.targets import Target, roofline

from jaxgan import methods
from jaxgan.config import Config
from jaxgan.errors import UserError
from jaxgan.methods import Batch, NetworkState
from jaxgan.runtime.devices import mapped_axis, replicated
from jaxgan.runtime.program import Carry, Inputs, compile_program

Results = dict[str, Any]  # plain data, what the JSON file holds

MNIST = (60_000, 28, 28, 1)  # what the recipes train on


def lower(
    config: Config,
    devices: Sequence[jax.Device],
    *,
    parallel: str,
    images: tuple[int, int, int, int] = MNIST,
    optimizer: optax.GradientTransformation | None = None,
) -> tuple[Lowered, Carry]:
    """Traces the `train_steps` of a recipe for devices that need not be there.

    Args:
      config: the recipe's.
      devices: where it would run.
      parallel: the front end for several devices.
      images: shape of the data.
      optimizer: replaces the optimizers of the recipe.

    Returns:
      The function, ready to compile, and its first argument as shapes.
    """
    image_shape, everywhere = images[1:], replicated(devices)
    axis_name = mapped_axis(devices)
    method = methods.build(config.method, image_shape=image_shape, axis_name=axis_name, optimizer=optimizer)
    program = compile_program(
        method, devices, image_shape=image_shape, batch_size=config.run.batch_size, parallel=parallel
    )

    def abstract(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=everywhere)

    seed, indices = abstract((), jnp.uint32), abstract(images[:1], jnp.int32)
    carry = jax.tree.map(lambda x: abstract(x.shape, x.dtype), jax.eval_shape(program.init, seed))
    arguments = carry, Inputs(abstract(images, jnp.uint8), indices, indices, seed, abstract((), jnp.int32))
    function = program.train_steps
    if isinstance(function, functools.partial):  # pmap's, which has an argument already
        function, arguments = function.func, (*function.args, *arguments)
    return function.lower(*arguments), carry


def traced_flops(config: Config, target: Target) -> float:
    """Counts the floating-point operations of a chip's part of a step, as JAX hands it to the compiler."""
    method = methods.build(config.method, image_shape=MNIST[1:])
    size = config.run.batch_size // target.count
    key = jax.eval_shape(jax.random.key, 0)
    index = jax.ShapeDtypeStruct((size,), jnp.int32)
    batch = Batch(jax.ShapeDtypeStruct((size, *MNIST[1:]), jnp.float32), index, index)
    traced = jax.jit(method.step).trace(jax.eval_shape(method.init, key), batch, key)
    return traced.lower(lowering_platforms=(target.chip.platform,)).cost_analysis()["flops"]


def fitted(config: Config, target: Target, *, batch_size: int | None) -> Config:
    """Gives a recipe another batch size, or one image per chip where its own is smaller.

    Raises:
      UserError: if the chips cannot share the batch.
    """
    size = max(config.run.batch_size, target.count) if batch_size is None else batch_size
    if size < 1 or size % target.count:
        allowed = f"it must be a multiple of the {target.count} chips of {target.name}"
        near = max(1, round(size / target.count)) * target.count
        raise UserError(f"--batch-size: {size} is not allowed, {allowed}, such as {near}")
    return dataclasses.replace(config, run=dataclasses.replace(config.run, batch_size=size))


def compile_recipe(
    config: Config, target: Target, devices: Sequence[jax.Device], *, recipe: str, parallel: str, effort: float
) -> Results:
    """Compiles a recipe for a target and reads the program.

    Args:
      config: the recipe's.
      target: the chips.
      devices: their description for JAX.
      recipe: its name.
      parallel: the front end.
      effort: the compiler's effort for fast programs: 0 its default, -1 its least.

    Returns:
      What was found in the program, for one step and one chip.
    """
    began = time.perf_counter()
    lowered, carry = lower(config, devices, parallel=parallel)
    tpu = target.chip.platform == "tpu"
    compiled = lowered.compile({"exec_time_optimization_effort": effort} if tpu else {})
    return {
        "recipe": recipe,
        "target": target.name,
        "platform": target.chip.platform,
        "chip": target.chip.name,
        "chips": target.count,
        "hosts": len({d.process_index for d in devices}),
        "parallel": parallel if target.count > 1 else "jit",
        "batch_per_chip": config.run.batch_size // target.count,
        "compile_seconds": time.perf_counter() - began,
        **read(
            compiled, carry, target, flops=compiled.cost_analysis()["flops"] if tpu else traced_flops(config, target)
        ),
    }


def read(compiled: Compiled, carry: Carry, target: Target, *, flops: float) -> Results:
    """Reads a compiled program.

    Args:
      compiled: the program.
      carry: its first argument, as shapes.
      target: what it is compiled for.
      flops: floating-point operations of a step on a chip.

    Returns:
      Its part of the results.
    """
    program, memory, tpu = hlo.parse(compiled.as_text()), compiled.memory_analysis(), target.chip.platform == "tpu"
    step, crossings = (find(program, program.body) for find in (hlo.collectives, hlo.crossings))
    products, hbm_bytes = hlo.products(program), hlo.traffic(program, program.body)
    sent = {kind: sum(c.bytes for c in step if c.kind == kind) for kind in hlo.COLLECTIVES}
    crossing = sum(c.bytes for c in crossings)
    times = roofline(
        target,
        flops=flops,
        hbm_bytes=hbm_bytes,
        reduced_bytes=sent["all-reduce"],
        gathered_bytes=sent["all-gather"],
        crossing_bytes=crossing,
    )
    deviations = [
        *undonated(program, carry),
        *unexpected_collectives(program, carry, chips=target.count, slices=target.slices, joined=not tpu),
        *(outside_of_matrix_unit(products) if tpu else []),
        *(
            f"{name} writes an array as large as the data in every step"
            for name in hlo.whole_copies(program, program.body, size=math.prod(MNIST))
        ),
    ]
    if complaint := memory_complaint(compiled, target):
        deviations.append(complaint)
    return {
        "flops": flops,
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
        "products": products.count if tpu else None,
        "products_taken_apart": len(products.taken_apart),
        "hbm_bytes": hbm_bytes,
        "roofline": {**times._asdict(), "seconds": times.seconds, "bound": times.bound},
        "cycles": sum(i.cycles for _, i in program.kernels(program.body)),
        "deviations": deviations,
    }


def too_large(config: Config, target: Target, devices: Sequence[jax.Device], *, effort: float) -> str | None:
    """Compiles a program whose data alone is larger than any chip's memory, as a negative control.

    Returns:
      The compiler's complaint; where it has none, what its own count of memory says; None if nothing was noticed.
    """
    options = {"exec_time_optimization_effort": effort} if target.chip.platform == "tpu" else {}
    try:
        compiled = lower(config, devices, parallel="auto", images=(200_000_000, *MNIST[1:]))[0].compile(options)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return str(error).splitlines()[0]
    complaint = memory_complaint(compiled, target)
    return complaint and f"compiled, but {complaint}"


def memory_complaint(compiled: Compiled, target: Target) -> str | None:
    """Says how much of a chip's memory a program takes, if that is more than there is."""
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
    held += memory.output_size_in_bytes - memory.alias_size_in_bytes
    if held <= target.chip.hbm_bytes:
        return None
    return f"the program takes {held / 1e9:,.1f} GB of the {target.chip.hbm_bytes / 1e9:,.1f} GB of a chip"


def networks(carry: Carry) -> list[NetworkState]:
    """The networks in a state, whatever method it is of."""
    leaves = jax.tree.leaves(carry.state, is_leaf=lambda x: isinstance(x, NetworkState))
    return [leaf for leaf in leaves if isinstance(leaf, NetworkState)]


def gradient_sizes(carry: Carry) -> Counter[int]:
    """Counts the arrays of parameters that get a gradient, by their number of elements."""
    return Counter(x.size for network in networks(carry) for x in jax.tree.leaves(network.params))


def undonated(program: hlo.Program, carry: Carry) -> list[str]:
    """Names the parts of the state that the program holds twice, instead of writing over its argument."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(carry)]
    return [f"{path} is not donated" for i, path in enumerate(paths) if i not in program.aliased]


def outside_of_matrix_unit(products: hlo.Products) -> list[str]:
    """Names the products outside of a TPU's matrix unit, except those of matrices with vectors.

    A product with a vector, such as that of the layer which ends in one logit, is a sum to the compiler.
    """
    convolutions = [name for name in products.taken_apart if name.endswith("/conv_general_dilated")]
    return [f"{name} is outside of the matrix unit" for name in [*products.elsewhere, *convolutions]]


def unexpected_collectives(
    program: hlo.Program, carry: Carry, *, chips: int, slices: int = 1, joined: bool = False
) -> list[str]:
    """Compares what chips exchange with what data parallelism needs.

    In a step each array of gradients is summed over the chips exactly once. Beside it only batch statistics and scalars
    (metrics) are summed, and nothing else is exchanged. The compiler may merge sums into one instruction, so arrays are
    counted by their sizes, not instructions. Between slices each chip sends its part of its slice's sum, which may be
    scattered first; then the slice's chips gather the parts.

    Args:
      program: a compiled program.
      carry: its first argument, as shapes.
      chips: how many share a step.
      slices: of how many chips each; for more than one the compiler joins arrays, and pads them to tiles.
      joined: whether the compiler concatenates arrays that are summed, as the CUDA compiler does. Then only their
        elements can be counted: those of all gradients, and fewer more than the smallest network has.

    Returns:
      One line for each difference.
    """
    step, crossings = (find(program, program.body) for find in (hlo.collectives, hlo.crossings))
    outside = sum(len(find(program, program.entry)) for find in (hlo.collectives, hlo.crossings))
    outside -= len(step) + len(crossings)
    served = [c for c in step if slices > 1 and c.serves_a_crossing]
    unexpected = [
        f"a step has an {c.kind} of {c.bytes:.0f} bytes"
        for c in [*step, *crossings]
        if c.kind != "all-reduce" and c not in served
    ]
    if outside:
        unexpected.append(f"{outside} collectives lie outside of the loop over steps")
    if chips == 1:
        return unexpected + [f"an {c.kind} on a single chip" for c in step]
    found, wanted = hlo.reduced_sizes(step), gradient_sizes(carry)
    if joined or slices > 1:
        least = sum(wanted.elements())
        most = least + min(sum(x.size for x in jax.tree.leaves(network.params)) for network in networks(carry))
        totals = {"summed": sum(found.elements())}
        if slices > 1:
            parts = sum(array.size for c in served if c.kind == "all-gather" for array in c.operands)
            sent = sum(array.size for c in crossings for array in c.operands)
            totals["summed over slices"] = sent + (chips // slices - 1) * parts
        return unexpected + [
            f"{total:,} elements are {how}, not {least:,} of gradients and statistics to less than {most:,}"
            for how, total in totals.items()
            if not least <= total < most
        ]
    missing, more = wanted - found, found - wanted
    statistics = {x.size for network in networks(carry) for x in jax.tree.leaves(network.batch_stats)} | {1}
    unexpected += [f"no gradient of {size} elements is summed, {n} too few" for size, n in missing.items()]
    unexpected += [
        f"{n} arrays of {size} elements are summed that are neither gradients nor statistics of a batch"
        for size, n in more.items()
        if size not in statistics
    ]
    return unexpected
