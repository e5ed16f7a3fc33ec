"""The devices of a run, and how one function runs on all of them."""

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
REPLICA_AXIS = "replica"  # another one, over which they share the replicas of a run
# What XLA gives to YNNPACK on CPU; by default convolutions, too.
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"}


def select_devices(
    *, platform: str = "auto", count: int | None = None, batch_size: int = 1, replicas: int = 1
) -> tuple[Device, ...]:
    """Chooses the devices of a run.

    Args:
      platform: ``auto``, ``cpu``, ``gpu`` or ``tpu``.
      count: how many devices of each process; None for as many as divide the batch.
      batch_size: images per step, over all devices that share a batch.
      replicas: of the run; devices share them first, and a batch only if they are more: see :func:`device_groups`.

    Returns:
      The devices, process by process, the same number from each.

    Raises:
      UserError: if the platform is absent, has fewer devices, or their number does not divide the batch.
    """
    try:
        found = jax.local_devices()
    except (RuntimeError, AssertionError) as error:
        named = os.environ.get("JAX_PLATFORMS", "")
        raise UserError(f"JAX_PLATFORMS: {named!r} gives no device ({str(error) or 'none of its kind'})") from error
    try:
        present = found if platform == "auto" else jax.local_devices(backend=platform)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"--platform: no {platform!r} device here, JAX finds {', '.join(sorted({d.platform for d in found}))} "
            f"(for gpu and tpu install jax[cuda12] or jax[tpu])"
        ) from error
    processes = jax.process_count()

    def sharing(count: int) -> int:
        """How many devices share a batch."""
        return count * processes // device_groups(count * processes, replicas=replicas)

    by_process = [[d for d in jax.devices(present[0].platform) if d.process_index == i] for i in range(processes)]
    most = min(map(len, by_process))
    if count is None:
        count = next((n for n in range(most, 0, -1) if batch_size % sharing(n) == 0), 1)
    if count > most:
        kind = present[0].platform
        hint = f"; XLA_FLAGS=--xla_force_host_platform_device_count={count} makes {count} of a CPU" * (kind == "cpu")
        raise UserError(f"--devices: {count} is more than the {most} {kind} devices present{hint}")
    if batch_size % sharing(count):
        together = f"{sharing(count)} devices" + f" of {processes} processes" * (processes > 1)
        raise UserError(f"--batch-size: {batch_size} is not allowed, it must be a multiple of the {together}")
    return tuple(device for devices in by_process for device in devices[:count])


def device_groups(devices: int, *, replicas: int) -> int:
    """How many groups share the replicas of a run equally: as many as can, and the devices of a group each batch."""
    return math.gcd(devices, replicas)


def replicated(devices: Sequence[Device]) -> Sharding:
    """The sharding of an array that every device holds whole."""
    if len(devices) == 1:
        return SingleDeviceSharding(devices[0])
    return NamedSharding(_mesh(devices), PartitionSpec())


def mapped_axis(devices: Sequence[Device]) -> str | None:
    """The name of the axis that a batch is split over; None on one device."""
    return AXIS if len(devices) > 1 else None


def replicate(array: ArrayLike, sharding: Sharding) -> jax.Array:
    """Puts an array, which every process has whole, on all devices of a sharding; nothing is sent."""
    return jax.make_array_from_process_local_data(sharding, np.asarray(array))


def front_end(parallel: str, devices: Sequence[Device]) -> str:
    """The front end that ``auto`` stands for: pmap, or shard_map where it is faster.

    On CPU that is because pmap takes no compiler options (see :func:`compiler_options`), between processes because
    shard_map returns global arrays, which pmap's results have to be made into.
    """
    if parallel != "auto":
        return parallel
    return "shard_map" if jax.process_count() > 1 or devices[0].platform == "cpu" else "pmap"


def _mesh(devices: Sequence[Device]) -> Mesh:
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def shard(array: np.ndarray, devices: Sequence[Device]) -> jax.Array:
    """Puts the entries of an array along its leading axis on the devices of this process, one each."""
    alone = len(devices) == 1
    sharding = replicated(devices) if alone else NamedSharding(_mesh(devices), PartitionSpec(AXIS))
    return jax.make_array_from_process_local_data(sharding, array, (len(devices), *array.shape[1:]))


def on_abstract_devices(
    function: Callable[..., Any], devices: Sequence[Device], *, parallel: str = "auto", in_axes: Any = None
) -> Callable[..., Any]:
    """Binds the mapped axis of a function as :func:`parallelize` does, so that ``jax.eval_shape`` can trace it.

    Only the number of devices matters, which is more than one. What the function returns must be the same on all.
    """
    return jax.shard_map(
        function,
        mesh=_mesh(devices).abstract_mesh,
        in_specs=_partition_specs(in_axes),
        out_specs=PartitionSpec(),
        check_vma=front_end(parallel, devices) == "shard_map",  # pmap does without
    )


def parallelize(
    function: Callable[[Carry, Inputs], Carry],
    devices: Sequence[Device],
    *,
    parallel: str = "auto",
    in_axes: Any = None,
) -> Callable[[Carry, Inputs], Carry]:
    """Compiles a function that runs on every device at once, and donates its first argument.

    Each device runs the whole function, finds its place with ``lax.axis_index("data")``, and agrees with the others
    through collectives on that axis, so that the carry is replicated and stays so.

    Args:
      function: from (carry, inputs) to the next carry; on one device it is compiled without a mapped axis.
      devices: where to run.
      parallel: the front end for more than one device, ``pmap`` or ``shard_map``; see :func:`front_end`.
      in_axes: as for ``pmap``, for the inputs or for each of them: None if all devices are given the same, 0 if each is
        given its entry along the leading axis, as :func:`shard` puts them.

    Returns:
      The compiled function. Its carry is donated.
    """

    @functools.wraps(function)
    def own(carry: Carry, inputs: Inputs) -> Carry:
        return function(carry, _entries(in_axes, inputs))

    options = compiler_options(devices)
    if len(devices) == 1:
        return jax.jit(own, donate_argnums=0, compiler_options=options)
    if front_end(parallel, devices) == "shard_map":
        everywhere = PartitionSpec()
        specs = _partition_specs(in_axes)
        mapped = jax.shard_map(own, mesh=_mesh(devices), in_specs=(everywhere, specs), out_specs=everywhere)
        return jax.jit(mapped, donate_argnums=0, compiler_options=options)
    # pmap takes no compiler options. It needs one argument that is split over the devices: the device's number.
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
    mine = sum(device.process_index == jax.process_index() for device in devices)
    everywhere = replicated(devices)

    def run(carry: Carry, inputs: Inputs) -> Carry:
        # pmap returns arrays on the devices of this process; joining them with those of the others copies nothing.
        return jax.tree.map(
            lambda x: jax.make_array_from_single_device_arrays(
                x.shape, everywhere, [shard.data for shard in x.addressable_shards]
            ),
            mapped(np.arange(mine), carry, inputs),
        )

    return run


def split_replicas(devices: Sequence[Device], *, groups: int) -> Sharding:
    """The sharding of an array whose leading axis is that of the replicas of a run, by groups of devices."""
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
    """Compiles a function of many replicas, of which each group of devices computes its share.

    Args:
      function: of arrays with a leading axis of replicas, and of arrays that all share. On each device it finds the
        entries of its group alone, and the others of the group through the axis ``data``.
      devices: where to run.
      groups: how many groups they are.
      in_axes: as for ``vmap``, for each argument: 0 for one of each replica, None for a shared one.
      train: whether it trains: its second argument is a carry, to be donated, and compiler options are those of
        training.

    Returns:
      The compiled function. What it returns has a leading axis of replicas.
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
    """Gives arguments of a function, where ``in_axes`` has 0, and its results a leading axis of length one."""
    return lambda *args: jax.tree.map(lambda x: x[None], function(*_entries(in_axes, args)))


def _grid(devices: Sequence[Device], groups: int) -> Mesh:
    return Mesh(np.array(devices).reshape(groups, -1), (REPLICA_AXIS, AXIS), axis_types=(AxisType.Auto,) * 2)


def compiler_options(devices: Sequence[Device]) -> dict[str, str] | None:
    """Compiler options for training, where XLA knows them: on CPU, convolutions by Eigen.

    XLA's default, YNNPACK, takes a third longer for the gradients of weights. On other platforms, and where XLA knows
    no such options, there are none.
    """
    if devices[0].platform != "cpu":
        return None
    number = jax.ShapeDtypeStruct((), np.int32, sharding=SingleDeviceSharding(devices[0]))
    try:
        jax.jit(lambda x: x, compiler_options=CPU_OPTIONS).lower(number).compile()
    except jax.errors.JaxRuntimeError:  # an XLA that knows no such option
        return None
    return CPU_OPTIONS


def _entries(in_axes: Any, inputs: Any) -> Any:
    """Removes the leading axis, of length one on a device, of the inputs that are split."""
    return jax.tree.map(
        lambda axis, part: part if axis is None else jax.tree.map(lambda x: x[0], part),
        in_axes,
        inputs,
        is_leaf=_is_none,
    )


def _partition_specs(in_axes: Any, name: str = AXIS) -> Any:
    """What ``shard_map`` calls the axes that ``pmap`` takes."""
    return jax.tree.map(
        lambda axis: PartitionSpec() if axis is None else PartitionSpec(name), in_axes, is_leaf=_is_none
    )


def _is_none(x: Any) -> bool:
    return x is None


def enable_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, so that a second start of a run does not compile again.

    ``JAX_COMPILATION_CACHE_DIR`` and ``JAX_ENABLE_COMPILATION_CACHE`` overrule it, as everywhere in JAX.
    """
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]  # set at run time
        with contextlib.suppress(RuntimeError):  # a user without a home has no cache
            jax.config.update("jax_compilation_cache_dir", str(cache_home() / "jaxgan" / "xla"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
