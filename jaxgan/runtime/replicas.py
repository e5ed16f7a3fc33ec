"""Replicas: runs that differ in seed or in numeric config fields, trained as one compiled program."""

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, PyTree, UInt8, UInt32

from jaxgan.methods import Batch, Method, Metrics
from jaxgan.runtime.devices import (
    Device,
    Sharding,
    compile_over_replicas,
    device_groups,
    mapped_axis,
    of_one,
    replicate,
    split_replicas,
)
from jaxgan.runtime.program import (
    INIT_STREAM,
    SAMPLE_STREAM,
    Carry,
    Inputs,
    Program,
    goes_on,
    held_out_means,
    initial_carry,
    one_step,
    reset_metrics,
    steps,
    stream_key,
    to_bytes,
)

BATCH = 4  # batch size of an abstract step

Form = Literal["turns", "vmap"]
Values = Mapping[str, Any]  # values of config fields of the method, by name
Seed = UInt32[Array, ""]


OWN_ORDER = Inputs._make((None, None, 0, 0, None))  # the inputs with a leading replica axis


class Replicas(NamedTuple):
    """What differs between the runs of one program."""

    build: Callable[[Values], Method]  # from values of the fields; see :func:`jaxgan.methods.build`
    seeds: Sequence[int]  # one per replica
    fields: Mapping[str, Sequence[float]] = {}  # swept fields of the method's config: one value per replica

    def values(self, replica: int) -> dict[str, float]:
        """Returns the field values of one replica."""
        return {name: values[replica] for name, values in self.fields.items()}

    def sharding(self, devices: Sequence[Device]) -> Sharding:
        """Returns the sharding of arrays with a leading replica axis."""
        return split_replicas(devices, groups=self.groups(devices))

    def groups(self, devices: Sequence[Device]) -> int:
        """Returns how many groups of devices share the replicas; the devices of a group share each batch."""
        return device_groups(len(devices), replicas=len(self.seeds))

    def method(self, replica: int) -> Method:
        """Builds the method of one replica."""
        return self.build(self.values(replica))


def entry(tree: PyTree, replica: int | None) -> PyTree:
    """Selects one replica from a tree with a leading replica axis; returns the tree of a single run, None, unchanged.

    If an array is sharded over the devices of this process, the entry comes from the device that holds it. Indexing
    would run a collective per array, and on CPU many of these, interleaved with other work, deadlock.
    """

    def take(x: Any) -> Any:
        for shard in x.addressable_shards if isinstance(x, Array) and x.is_fully_addressable else ():
            start, stop, _ = shard.index[0].indices(len(x))
            if start <= replica < stop:
                return shard.data[replica - start]
        return x[replica]

    return tree if replica is None else jax.tree.map(take, tree)


def is_numeric(
    build: Callable[[Values], Method], name: str, value: float, *, image_shape: tuple[int, int, int]
) -> bool:
    """Returns whether a field of the method only changes numbers, so that replicas can share one program.

    Returns:
      False if the field changes what is computed, such as the weight of a penalty, which may be 0.
    """

    def trace(value: Array) -> None:
        method, key = build({name: value}), jax.random.key(0)
        state, index = method.init(key), jnp.arange(BATCH)
        batch = Batch(jnp.zeros((BATCH, *image_shape)), index, index)
        after, _ = method.step(state, batch, key)
        if method.sample:
            method.sample(after, key, BATCH)
        if method.evaluate:
            method.evaluate(after, batch, key)
        if jax.tree.map(jnp.result_type, after) != jax.tree.map(jnp.result_type, state):
            raise TypeError("the step changes a dtype of the state")

    try:
        jax.eval_shape(trace, jax.ShapeDtypeStruct((), jnp.float32))
    except TypeError:  # JAX raises it where Python code needs a concrete number
        return False
    return True


def form_for(devices: Sequence[Device]) -> Form:
    """Chooses how a device runs its replicas: on CPU in turns, by calls of one program, and elsewhere vmapped.

    With different weights, vmap makes matrix products batched and convolutions grouped. On CPU batched products are no
    faster than turns, and grouped convolutions half as fast: see ``experiments/studies/replicas.py``.
    """
    return "turns" if devices[0].platform == "cpu" else "vmap"


def in_turn(
    program: Callable[..., Any], in_axes: tuple[Any, ...], *, groups: int, place: Sharding
) -> Callable[..., Any]:
    """Makes the function that calls a program for one replica of each group at a time, and joins the results.

    Args:
      program: takes arrays with a leading group axis, and arrays that all replicas share.
      in_axes: as in ``vmap``, for each argument: 0 for a leading replica axis, None for a shared argument.
      groups: number of device groups.
      place: the sharding of arrays with a leading replica axis.

    Returns:
      The same function for arrays with a leading replica axis.
    """
    split = jax.tree.map(lambda axis: axis is not None, in_axes, is_leaf=lambda axis: axis is None)

    @partial(jax.jit, out_shardings=place)
    def select(arrays: list[Array], turn: Array) -> list[Array]:
        return [x.reshape(groups, -1, *x.shape[1:])[:, turn] for x in arrays]

    @partial(jax.jit, out_shardings=place)
    def join(parts: list[PyTree]) -> PyTree:
        return jax.tree.map(lambda *xs: jnp.stack(xs, axis=1).reshape(-1, *xs[0].shape[1:]), *parts)

    def run(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        is_split = jax.tree.leaves(jax.tree.broadcast(split, args))
        arrays, parts = [x for x, s in zip(leaves, is_split, strict=True) if s], []
        for turn in range(len(arrays[0]) // groups):
            selected = iter(select(arrays, np.int32(turn)))
            turn_leaves = [next(selected) if s else x for x, s in zip(leaves, is_split, strict=True)]
            parts.append(program(*jax.tree.unflatten(tree, turn_leaves)))
        return join(parts)

    return run


def vmapped_steps(build: Callable[[Values], Method], **how: Any) -> Callable[[Values, Carry, Inputs], Carry]:
    """Makes the function that takes many steps of all replicas at once.

    It differs from ``vmap`` of :func:`steps` in two ways. All active replicas are at one step, which stays a scalar: a
    generator update every fifth step is then a branch, rather than computed in every step and discarded. And a replica
    that has diverged keeps its carry, while the others continue.

    Args:
      build: see :class:`Replicas`.
      **how: see :func:`one_step`.

    Returns:
      A function from (values, carries, inputs) to the carries at ``inputs.stop``. What differs between replicas has a
      leading replica axis.
    """

    def run(values: Values, carries: Carry, inputs: Inputs) -> Carry:
        def take_step(values: Values, carry: Carry, inputs: Inputs, step: Array) -> Carry:
            shared = carry.replace(state=carry.state.replace(step=step))
            return one_step(build(values), inputs, **how)(shared, step)

        def is_active(carries: Carry) -> Bool[Array, " replicas"]:
            return jax.vmap(goes_on, in_axes=(0, None))(carries, inputs.stop)

        def body(carries: Carry) -> Carry:
            step = jnp.max(carries.state.step)
            after = jax.vmap(take_step, in_axes=(0, 0, OWN_ORDER, None))(values, carries, inputs, step)
            active = is_active(carries)
            return jax.tree.map(
                lambda a, b: jnp.where(active.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), after, carries
            )

        return lax.while_loop(lambda carries: jnp.any(is_active(carries)), body, carries)

    return run


def reset_if_finite(values: Values, carry: Carry) -> Carry:
    """Like :func:`reset_metrics`, but a diverged replica keeps its non-finite sums, which mark and stop it."""
    finite = jnp.isfinite(sum(jax.tree.leaves(carry.metric_sums)))
    return jax.tree.map(lambda a, b: jnp.where(finite, a, b), reset_metrics(carry), carry)


def compile_replicas(
    replicas: Replicas,
    devices: Sequence[Device],
    *,
    image_shape: tuple[int, int, int],
    batch_size: int,
    form: Form | None = None,
) -> Program:
    """Makes the functions of many runs, as :func:`jaxgan.runtime.program.compile_program` does for one.

    State, seed, image order and samples have a leading replica axis; images are shared.

    Args:
      replicas: the runs.
      devices: the devices, in groups that share the replicas; see :func:`device_groups`.
      image_shape: height, width and channels of an image.
      batch_size: images per step of a replica, over the devices of a group.
      form: how a device runs its replicas; None for the choice of :func:`form_for`.

    Returns:
      The program. A replica that diverges stops, and keeps its non-finite metric sums.
    """
    form = form or form_for(devices)
    build, groups = replicas.build, replicas.groups(devices)
    group = devices[: len(devices) // groups]
    step_options = {"batch_size": batch_size, "axis_name": mapped_axis(group)}
    place = replicas.sharding(devices)
    values = {name: replicate(np.asarray(column, np.float32), place) for name, column in replicas.fields.items()}
    first = replicas.method(0)
    abstract = jax.eval_shape(
        partial(
            initial_carry, first, image_shape=image_shape, batch_size=batch_size, devices=group, parallel="shard_map"
        ),
        np.uint32(0),
    )

    def init(values: Values, seed: Seed) -> Carry:
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), abstract.replace(state=None))
        return zeros.replace(state=build(values).init(stream_key(seed, INIT_STREAM)))

    def take_steps(values: Values, carry: Carry, inputs: Inputs) -> Carry:
        return steps(build(values), **step_options)(carry, inputs)

    def sample(count: int, values: Values, state: Any, seed: Seed) -> UInt8[Array, "count height width channels"]:
        draw = build(values).sample
        assert draw is not None
        return to_bytes(draw(state, stream_key(seed, SAMPLE_STREAM), count))

    def evaluate(values: Values, state: Any, images: Array, labels: Array, seed: Seed) -> Metrics:
        return held_out_means(build(values))(state, images, labels, seed)

    def compiled(function: Callable[..., Any], *in_axes: Any, train: bool = False) -> Callable[..., Any]:
        axes, how = (0, *in_axes), {"groups": groups, "in_axes": (0, *in_axes), "train": train}
        if form == "vmap":
            vmapped = vmapped_steps(build, **step_options) if train else jax.vmap(function, in_axes=axes)
            return partial(compile_over_replicas(vmapped, devices, **how), values)
        program = compile_over_replicas(of_one(function, axes), devices, **how)
        if len(replicas.seeds) > groups:
            program = in_turn(program, axes, groups=groups, place=place)
        return partial(program, values)

    sampler = functools.cache(lambda count: compiled(partial(sample, count), 0, 0))
    return Program(
        init=compiled(init, 0),
        train_steps=compiled(take_steps, 0, OWN_ORDER, train=True),
        reset_metrics=compiled(reset_if_finite, 0),
        sample=(lambda states, seeds, count: sampler(count)(states, seeds)) if first.sample else None,
        evaluate=compiled(evaluate, 0, None, None, 0) if first.evaluate else None,
    )
