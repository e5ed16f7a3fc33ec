"""Selects the devices of a run, and compiles functions to run on all of them."""

import contextlib
import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from jax.typing import ArrayLike

from jaxgan.errors import UserError
from jaxgan.fields import cache_home

Carry = TypeVar("Carry")
Inputs = TypeVar("Inputs")

Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm]  # jaxlib has no types

AXIS = "data"  # the mapped axis over which devices share a batch
REPLICA_AXIS = "replica"  # the mapped axis over which groups of devices share the replicas of a run
# The operations that XLA runs with YNNPACK on CPU; the default includes convolutions.
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"}


def select_devices(
    *, platform: str = "auto", count: int | None = None, batch_size: int = 1, replicas: int = 1
) -> tuple[Device, ...]:
    """Selects the devices of a run.

    Args:
      platform: ``auto``, ``cpu``, ``gpu`` or ``tpu``.
      count: devices per process; None for the largest number that divides the batch.
      batch_size: images per step, over all devices that share a batch.
      replicas: number of replicas; groups of devices share them, see :func:`device_groups`.

    Returns:
      The devices, ordered by process, the same number from each.

    Raises:
      UserError: if the platform is not available, has too few devices, or their number does not divide the batch.
    """
    try:
        available = jax.local_devices()
    except (RuntimeError, AssertionError) as error:
        value = os.environ.get("JAX_PLATFORMS", "")
        raise UserError(f"JAX_PLATFORMS: {value!r} gives no device ({str(error) or 'none of its kind'})") from error
    try:
        present = available if platform == "auto" else jax.local_devices(backend=platform)
    except (RuntimeError, AssertionError) as error:
        platforms = ", ".join(sorted({device.platform for device in available}))
        raise UserError(
            f"--platform: {platform!r} is not available, JAX finds {platforms} "
            f"(for gpu and tpu install jax[cuda12] or jax[tpu])"
        ) from error
    processes = jax.process_count()

    def sharing(count: int) -> int:
        """Returns how many devices share a batch."""
        return count * processes // device_groups(count * processes, replicas=replicas)

    by_process = [[d for d in jax.devices(present[0].platform) if d.process_index == i] for i in range(processes)]
    most = min(map(len, by_process))
    if count is None:
        count = next((n for n in range(most, 0, -1) if batch_size % sharing(n) == 0), 1)
    if count > most:
        kind = present[0].platform
        hint = f"; XLA_FLAGS=--xla_force_host_platform_device_count={count} splits a CPU" * (kind == "cpu")
        raise UserError(f"--devices: {count} is not allowed, available {kind} devices: {most}{hint}")
    if batch_size % sharing(count):
        together = f"{sharing(count)} devices" + f" of {processes} processes" * (processes > 1)
        raise UserError(f"--batch-size: {batch_size} is not allowed, it must be a multiple of the {together}")
    return tuple(device for devices in by_process for device in devices[:count])


def device_groups(devices: int, *, replicas: int) -> int:
    """Returns the largest number of device groups that share the replicas equally; a group shares each batch."""
    return math.gcd(devices, replicas)


def replicated(devices: Sequence[Device]) -> Sharding:
    """Returns the sharding that replicates an array on every device."""
    if len(devices) == 1:
        return SingleDeviceSharding(devices[0])
    return NamedSharding(_mesh(devices), PartitionSpec())


def mapped_axis(devices: Sequence[Device]) -> str | None:
    """Returns the name of the axis that a batch is split over; None on one device."""
    return AXIS if len(devices) > 1 else None


def replicate(array: ArrayLike, sharding: Sharding) -> jax.Array:
    """Places an array, which every process holds whole, on the devices of a sharding, without communication."""
    return jax.make_array_from_process_local_data(sharding, np.asarray(array))


def front_end(parallel: str, devices: Sequence[Device]) -> str:
    """Resolves ``auto``: shard_map on CPU and in several processes, pmap elsewhere.

    On CPU shard_map is faster, since pmap takes no compiler options (:func:`compiler_options`). In several processes
    it returns global arrays; the results of pmap have to be gathered into such.
    """
    if parallel != "auto":
        return parallel
    return "shard_map" if jax.process_count() > 1 or devices[0].platform == "cpu" else "pmap"


def _mesh(devices: Sequence[Device]) -> Mesh:
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def shard(array: np.ndarray, devices: Sequence[Device]) -> jax.Array:
    """Shards an array along its leading axis: each device of this process gets one entry."""
    single = len(devices) == 1
    sharding = replicated(devices) if single else NamedSharding(_mesh(devices), PartitionSpec(AXIS))
    return jax.make_array_from_process_local_data(sharding, array, (len(devices), *array.shape[1:]))


def on_abstract_devices(
    function: Callable[..., Any], devices: Sequence[Device], *, parallel: str = "auto", in_axes: Any = None
) -> Callable[..., Any]:
    """Binds the mapped axis of a function as :func:`parallelize` does, so that ``jax.eval_shape`` can trace it.

    Only the number of devices matters, which must be above one. The results must be the same on all devices.
    """
    return jax.shard_map(
        function,
        mesh=_mesh(devices).abstract_mesh,
        in_specs=_partition_specs(in_axes),
        out_specs=PartitionSpec(),
        check_vma=front_end(parallel, devices) == "shard_map",  # pmap has no such check
    )


def parallelize(
    function: Callable[[Carry, Inputs], Carry],
    devices: Sequence[Device],
    *,
    parallel: str = "auto",
    in_axes: Any = None,
) -> Callable[[Carry, Inputs], Carry]:
    """Compiles a function to run on every device, and donates its first argument.

    Each device runs the whole function. ``lax.axis_index("data")`` is the index of the device, and collectives on that
    axis keep the carry replicated.

    Args:
      function: from (carry, inputs) to the next carry; on one device it is compiled without a mapped axis.
      devices: the devices to run on.
      parallel: the front end for more than one device, ``pmap`` or ``shard_map``; see :func:`front_end`.
      in_axes: as in ``pmap``, for the inputs or for each of them: None if all devices get the same value, 0 if each
        gets its entry along the leading axis, as :func:`shard` places them.

    Returns:
      The compiled function. Its carry is donated.
    """

    @functools.wraps(function)
    def on_device(carry: Carry, inputs: Inputs) -> Carry:
        return function(carry, _entries(in_axes, inputs))

    options = compiler_options(devices)
    if len(devices) == 1:
        return jax.jit(on_device, donate_argnums=0, compiler_options=options)
    if front_end(parallel, devices) == "shard_map":
        everywhere = PartitionSpec()
        specs = _partition_specs(in_axes)
        mapped = jax.shard_map(on_device, mesh=_mesh(devices), in_specs=(everywhere, specs), out_specs=everywhere)
        return jax.jit(mapped, donate_argnums=0, compiler_options=options)
    # pmap takes no compiler options. It needs one argument that is split over the devices: the device index.
    mapped = jax.pmap(
        lambda _, carry, inputs: function(carry, inputs),
        axis_name=AXIS,
        in_axes=(0, None, in_axes),
        out_axes=None,
        devices=devices,
        donate_argnums=1,
    )
    if jax.process_count() == 1:
        return functools.partial(mapped, np.arange(len(devices)))
    local_count = sum(device.process_index == jax.process_index() for device in devices)
    everywhere = replicated(devices)

    def run(carry: Carry, inputs: Inputs) -> Carry:
        # pmap returns arrays on the devices of this process. Joining their shards to a global array copies nothing.
        return jax.tree.map(
            lambda x: jax.make_array_from_single_device_arrays(
                x.shape, everywhere, [shard.data for shard in x.addressable_shards]
            ),
            mapped(np.arange(local_count), carry, inputs),
        )

    return run


def split_replicas(devices: Sequence[Device], *, groups: int) -> Sharding:
    """Returns the sharding that splits a leading replica axis over groups of devices."""
    if len(devices) == 1:
        return SingleDeviceSharding(devices[0])
    return NamedSharding(_grid(devices, groups), PartitionSpec(REPLICA_AXIS))


def compile_over_replicas(
    function: Callable[..., Any],
    devices: Sequence[Device],
    *,
    groups: int,
    in_axes: tuple[Any, ...],
    train: bool = False,
) -> Callable[..., Any]:
    """Compiles a function over many replicas; each group of devices computes its share of them.

    Args:
      function: takes arrays with a leading replica axis, and arrays that all replicas share. On a device it gets only
        the entries of its group; the axis ``data`` spans the devices of the group.
      devices: the devices to run on.
      groups: number of device groups.
      in_axes: as in ``vmap``, for each argument: 0 for a leading replica axis, None for a shared argument.
      train: whether the function trains: its second argument is a carry, which is donated, and it is compiled with
        the options for training.

    Returns:
      The compiled function. Its results have a leading replica axis.
    """
    if len(devices) > 1:
        specs = _partition_specs(in_axes, REPLICA_AXIS)
        function = jax.shard_map(
            function, mesh=_grid(devices, groups), in_specs=specs, out_specs=PartitionSpec(REPLICA_AXIS)
        )
    if train:
        return jax.jit(function, donate_argnums=1, compiler_options=compiler_options(devices))
    return jax.jit(function)


def of_one(function: Callable[..., Any], in_axes: tuple[Any, ...]) -> Callable[..., Any]:
    """Adds a leading axis of length one to a function's results, and to its arguments where ``in_axes`` is 0."""
    return lambda *args: jax.tree.map(lambda x: x[None], function(*_entries(in_axes, args)))


def _grid(devices: Sequence[Device], groups: int) -> Mesh:
    return Mesh(np.array(devices).reshape(groups, -1), (REPLICA_AXIS, AXIS), axis_types=(AxisType.Auto,) * 2)


def compiler_options(devices: Sequence[Device]) -> dict[str, str] | None:
    """Returns the compiler options for training: on CPU, convolutions run with Eigen.

    XLA's default, YNNPACK, takes a third longer for the gradients of weights. Returns None on other platforms, and if
    XLA does not know the options.
    """
    if devices[0].platform != "cpu":
        return None
    number = jax.ShapeDtypeStruct((), np.int32, sharding=SingleDeviceSharding(devices[0]))
    try:
        jax.jit(lambda x: x, compiler_options=CPU_OPTIONS).lower(number).compile()
    except jax.errors.JaxRuntimeError:  # this XLA does not know the options
        return None
    return CPU_OPTIONS


def _entries(in_axes: Any, inputs: Any) -> Any:
    """Removes the leading axis, which has length one on a device, from the inputs that are split."""
    return jax.tree.map(
        lambda axis, part: part if axis is None else jax.tree.map(lambda x: x[0], part),
        in_axes,
        inputs,
        is_leaf=_is_none,
    )


def _partition_specs(in_axes: Any, name: str = AXIS) -> Any:
    """Converts the ``in_axes`` of ``pmap`` to the partition specs of ``shard_map``."""
    return jax.tree.map(
        lambda axis: PartitionSpec() if axis is None else PartitionSpec(name), in_axes, is_leaf=_is_none
    )


def _is_none(x: Any) -> bool:
    return x is None


def enable_compilation_cache() -> None:
    """Enables JAX's compilation cache in the user's cache directory, so that a restarted run does not recompile.

    ``JAX_COMPILATION_CACHE_DIR`` and ``JAX_ENABLE_COMPILATION_CACHE`` override it, as everywhere in JAX.
    """
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]  # set at run time
        with contextlib.suppress(RuntimeError):  # without a home directory there is no cache
            jax.config.update("jax_compilation_cache_dir", str(cache_home() / "jaxgan" / "xla"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
