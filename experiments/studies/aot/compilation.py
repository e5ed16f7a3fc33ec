"""Compiles the training function for a target, and analyzes the cost, collectives and copies of a step."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import optax
from jax.stages import Lowered
from studies.aot import hlo

from jaxgan import methods
from jaxgan.config import Config
from jaxgan.data.catalog import find
from jaxgan.methods import NetworkState
from jaxgan.runtime.devices import device_groups, mapped_axis
from jaxgan.runtime.inputs import BYTES_PER_CHUNK
from jaxgan.runtime.program import Carry
from jaxgan.runtime.targets import Target, least_bytes, lower_training

Shape = tuple[int, int, int, int]
TOO_MANY = (200_000_000, 28, 28, 1)  # larger than the memory of any chip


def lower(
    config: Config,
    devices: Sequence[jax.Device],
    *,
    parallel: str,
    images: Shape,
    optimizer: optax.GradientTransformation | None = None,
    replicas: int = 1,
) -> tuple[Lowered, Carry]:
    """Traces the `train_steps` of a recipe for devices that need not be available.

    Args:
      config: config of the recipe.
      devices: target devices.
      parallel: the front end for several devices.
      images: shape of the data.
      optimizer: overrides the optimizers of the recipe.
      replicas: number of runs that train together.

    Returns:
      The lowered function, and its first argument as shapes on one device.
    """
    axis_name = mapped_axis(devices[: len(devices) // device_groups(len(devices), replicas=replicas)])
    method = methods.build(config.method, image_shape=images[1:], axis_name=axis_name, optimizer=optimizer)
    how = {"images": images, "batch_size": config.run.batch_size, "parallel": parallel}
    return lower_training(method, devices, **how, replicas=replicas)


def images_of(config: Config) -> Shape:
    """Returns the shape of the images on a device: the whole data set, or a chunk of a stream."""
    spec = find(config.run.data, image_size=config.run.image_size)
    streamed = BYTES_PER_CHUNK // math.prod(spec.image_shape)
    return (spec.examples["train"] if config.run.input == "memory" else streamed, *spec.image_shape)


def fitted(config: Config, target: Target) -> Config:
    """Increases the batch size of a recipe to at least one image per device."""
    return replace(config, run=replace(config.run, batch_size=max(config.run.batch_size, target.count)))


def compile_recipe(
    config: Config, target: Target, devices: Sequence[jax.Device], *, parallel: str, effort: float, replicas: int = 1
) -> dict[str, Any]:
    """Compiles a recipe for a target and analyzes the program.

    Args:
      config: config of the recipe.
      target: the chips.
      devices: JAX devices that describe the chips.
      parallel: the front end; jit uses one chip.
      effort: optimization effort of the compiler: 0 default, -1 minimum.
      replicas: number of runs that train together, distributed over groups of devices that share each batch.

    Returns:
      Properties of the program, for one step and one device.
    """
    shape = images_of(config)
    lowered, carry = lower(config, devices, parallel=parallel, images=shape, replicas=replicas)
    groups = device_groups(target.count, replicas=replicas)
    images = config.run.batch_size * replicas // target.count
    compiled = lowered.compile({"exec_time_optimization_effort": effort})
    program, memory, flops = (
        hlo.parse(compiled.as_text()),
        compiled.memory_analysis(),
        compiled.cost_analysis()["flops"],
    )
    moved = least_bytes(carry, math.prod(shape[1:]) * images)
    step, products = program.collectives(program.body), program.products()
    return {
        "target": target.name,
        "hosts": len({device.process_index for device in devices}),
        "parallel": parallel if replicas == 1 else f"{replicas} replicas on {groups} x {target.count // groups}",
        "batch_per_device": images,
        "flops": flops,
        "least_bytes": moved,
        "least_seconds": target.least_seconds(operations=flops, bytes_moved=moved),
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "aliased": len(program.aliased),
        "state_arrays": len(jax.tree.leaves(carry)),
        "collectives": dict(Counter(c.kind for c in step)),
        "collective_bytes": sum(c.bytes for c in step),
        "gradient_bytes": sum(4 * size for size in gradient_sizes(carry).elements()),
        "products": products.count,
        "products_taken_apart": len(products.taken_apart),
        "deviations": [
            *undonated(program, carry),
            *unexpected_collectives(program, carry, chips=target.count // groups, groups=groups),
            *outside_of_matrix_unit(products),
            *(f"{name} writes an array as large as the data" for name in program.whole_copies(math.prod(shape))),
        ],
    }


def too_large(config: Config, devices: Sequence[jax.Device], *, effort: float) -> str:
    """Compiles a program whose data exceeds the memory of a chip, and returns the compiler's error message."""
    try:
        lowered, _ = lower(config, devices, parallel="auto", images=TOO_MANY)
        lowered.compile({"exec_time_optimization_effort": effort})
    except jax.errors.JaxRuntimeError as error:
        return str(error).splitlines()[0]
    return "no complaint"


def networks(carry: Carry) -> list[NetworkState]:
    """Returns the networks in the state of any method."""
    leaves = jax.tree.leaves(carry.state, is_leaf=lambda x: isinstance(x, NetworkState))
    return [leaf for leaf in leaves if isinstance(leaf, NetworkState)]


def gradient_sizes(carry: Carry) -> Counter[int]:
    """Counts the parameter arrays with a gradient, by number of elements."""
    return Counter(x.size for network in networks(carry) for x in jax.tree.leaves(network.params))


def undonated(program: hlo.Program, carry: Carry) -> list[str]:
    """Lists the parts of the state that are not donated, so the program holds them twice."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(carry)]
    return [f"{path} is not donated" for i, path in enumerate(paths) if i not in program.aliased]


def outside_of_matrix_unit(products: hlo.Products) -> list[str]:
    """Lists the products outside of a TPU's matrix unit, except matrix-vector products.

    The compiler turns a matrix-vector product, such as the layer with a single logit, into a sum.
    """
    convolutions = [name for name in products.taken_apart if name.endswith("/conv_general_dilated")]
    return [f"{name} is outside of the matrix unit" for name in [*products.elsewhere, *convolutions]]


def unexpected_collectives(program: hlo.Program, carry: Carry, *, chips: int, groups: int = 1) -> list[str]:
    """Compares the collectives of a program with those that data parallelism needs.

    A step sums each array of gradients exactly once over the chips that share a batch. Otherwise it sums only batch
    statistics and scalars (metrics), and exchanges nothing else. The compiler may merge sums into one instruction, so
    this function counts arrays by size instead of instructions.

    Args:
      program: a compiled program.
      carry: its first argument, as shapes.
      chips: number of chips that share a batch.
      groups: number of such groups, each with its own replicas.

    Returns:
      One line per difference.
    """
    step = program.collectives(program.body)
    unexpected = [f"a step has an {c.kind} of {c.bytes} bytes" for c in step if c.kind != "all-reduce"]
    if outside := len(program.collectives(program.entry)) - len(step):
        unexpected.append(f"{outside} collectives lie outside of the loop over steps")
    if chips == 1:
        return unexpected + [f"an {c.kind} on a single chip" for c in step]
    expected = [tuple(range(first, first + chips)) for first in range(0, chips * groups, chips)]
    unexpected += [
        f"an {c.kind} is among the chips {c.groups}" for c in step if sorted(c.groups or expected) != expected
    ]
    found, wanted = hlo.reduced_sizes(step), gradient_sizes(carry)
    statistics = {x.size for network in networks(carry) for x in jax.tree.leaves(network.batch_stats)}
    statistics |= {x.size for x in jax.tree.leaves(carry.metric_sums)}
    unexpected += [f"no gradient of {size} elements is summed, {n} too few" for size, n in (wanted - found).items()]
    unexpected += [
        f"{n} arrays of {size} elements are summed that are neither gradients nor statistics of a batch"
        for size, n in (found - wanted).items()
        if size not in statistics
    ]
    return unexpected
