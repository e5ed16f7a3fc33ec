"""Replicas: runs that differ in their seed, or in a number of their config, trained as one compiled program."""

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

BATCH = 4  # images in an abstract step

Form = Literal["turns", "vmap"]
Values = Mapping[str, Any]  # of fields of the method's config, one of each
Seed = UInt32[Array, ""]


OWN_ORDER = Inputs._make((None, None, 0, 0, None))  # the axes that are of replicas


class Replicas(NamedTuple):
    """What differs between the runs of one program."""

    build: Callable[[Values], Method]  # from values of the fields; see :func:`jaxgan.methods.build`
    seeds: Sequence[int]  # of each replica
    fields: Mapping[str, Sequence[float]] = {}  # of the method's config, with a value for each replica; of a sweep

    def values(self, replica: int) -> dict[str, float]:
        """The values of the fields of one replica."""
        return {name: values[replica] for name, values in self.fields.items()}

    def sharding(self, devices: Sequence[Device]) -> Sharding:
        """Where the entries of an array go, along its leading axis of replicas."""
        return split_replicas(devices, groups=self.groups(devices))

    def groups(self, devices: Sequence[Device]) -> int:
        """How many groups of devices share the replicas; the devices of a group share each batch."""
        return device_groups(len(devices), replicas=len(self.seeds))

    def method(self, replica: int) -> Method:
        """The method of one replica."""
        return self.build(self.values(replica))


def entry(tree: PyTree, replica: int | None) -> PyTree:
    """What a tree with a leading axis of replicas has of one of them; of a single run, None, all of it.

    An array that is spread over the devices of this process gives the entry on the device that has it. Indexing would
    be a collective for each array, and on CPU many of them, with other work in between, deadlock.
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
    """Whether a field of the method only enters its numbers, so that replicas of other values share one program.

    Returns:
      False if it decides what is computed, as a penalty does whose weight may be 0.
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
            raise TypeError("a number of the state has another type")

    try:
        jax.eval_shape(trace, jax.ShapeDtypeStruct((), jnp.float32))
    except TypeError:  # JAX's errors for a number that Python asks for
        return False
    return True


def form_for(devices: Sequence[Device]) -> Form:
    """How a device runs its replicas: on CPU one after the other, by calls of one program, elsewhere vmapped.

    A vmapped matrix product or convolution of weights that differ is a batched or a grouped one, which CPUs compute no
    faster than one after the other, and convolutions half as fast: see ``experiments/studies/replicas.py``.
    """
    return "turns" if devices[0].platform == "cpu" else "vmap"


def in_turn(one: Callable[..., Any], in_axes: tuple[Any, ...], *, groups: int, place: Sharding) -> Callable[..., Any]:
    """Makes the function that calls a program of one replica a group for each replica of the groups, and joins all.

    Args:
      one: of arrays with a leading axis of groups, and of arrays that all share.
      in_axes: as for ``vmap``, for each argument: 0 for one of each replica, None for a shared one.
      groups: how many groups of devices there are.
      place: where arrays with a leading axis of replicas go.

    Returns:
      The same function, of arrays with a leading axis of replicas.
    """
    are_own = jax.tree.map(lambda axis: axis is not None, in_axes, is_leaf=lambda axis: axis is None)

    @partial(jax.jit, out_shardings=place)
    def chosen(arrays: list[Array], turn: Array) -> list[Array]:
        return [x.reshape(groups, -1, *x.shape[1:])[:, turn] for x in arrays]

    @partial(jax.jit, out_shardings=place)
    def joined(parts: list[PyTree]) -> PyTree:
        return jax.tree.map(lambda *xs: jnp.stack(xs, axis=1).reshape(-1, *xs[0].shape[1:]), *parts)

    def run(*args: Any) -> Any:
        arrays, tree = jax.tree.flatten(args)
        is_own = jax.tree.leaves(jax.tree.broadcast(are_own, args))
        own, parts = [x for x, o in zip(arrays, is_own, strict=True) if o], []
        for turn in range(len(own[0]) // groups):
            left = iter(chosen(own, np.int32(turn)))
            given = [next(left) if o else x for x, o in zip(arrays, is_own, strict=True)]
            parts.append(one(*jax.tree.unflatten(tree, given)))
        return joined(parts)

    return run


def vmapped_steps(build: Callable[[Values], Method], **how: Any) -> Callable[[Values, Carry, Inputs], Carry]:
    """Makes the function that takes the carries of all replicas through many steps at once.

    ``vmap`` of :func:`steps` would do, but for two things. All replicas that go on are at one step, which stays a
    number that they share: a generator's turn every fifth step is then a branch, and not computed in each and thrown
    away. And a replica that has diverged keeps its carry, while the others go on.

    Args:
      build: see :class:`Replicas`.
      **how: see :func:`one_step`.

    Returns:
      A function from (values, carries, inputs), with a leading axis of replicas where they have their own, to the
      carries at ``inputs.stop``.
    """

    def run(values: Values, carries: Carry, inputs: Inputs) -> Carry:
        def take_step(values: Values, carry: Carry, inputs: Inputs, step: Array) -> Carry:
            shared = carry.replace(state=carry.state.replace(step=step))
            return one_step(build(values), inputs, **how)(shared, step)

        def going(carries: Carry) -> Bool[Array, " replicas"]:
            return jax.vmap(goes_on, in_axes=(0, None))(carries, inputs.stop)

        def body(carries: Carry) -> Carry:
            step = jnp.max(carries.state.step)
            after = jax.vmap(take_step, in_axes=(0, 0, OWN_ORDER, None))(values, carries, inputs, step)
            kept = going(carries)
            return jax.tree.map(lambda a, b: jnp.where(kept.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), after, carries)

        return lax.while_loop(lambda carries: jnp.any(going(carries)), body, carries)

    return run


def reset_if_finite(values: Values, carry: Carry) -> Carry:
    """As :func:`reset_metrics`, but a replica that has diverged keeps its sums, which say so and stop it."""
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
    """Prepares the functions of many runs, as :func:`jaxgan.runtime.program.compile_program` does for one.

    All that a run has of its own, such as state, seed, order of the images and samples, has a leading axis of
    replicas; images are shared.

    Args:
      replicas: the runs.
      devices: where to run: in groups, each with its share of the replicas; see :func:`device_groups`.
      image_shape: height, width and channels of an image.
      batch_size: images per step of a replica, over the devices of a group.
      form: how a device runs its replicas; None for :func:`form_for`.

    Returns:
      The program. A replica that diverges stops, and keeps sums of metrics that are not finite.
    """
    form = form or form_for(devices)
    build, groups = replicas.build, replicas.groups(devices)
    together = devices[: len(devices) // groups]
    of_step = {"batch_size": batch_size, "axis_name": mapped_axis(together)}
    place = replicas.sharding(devices)
    values = {name: replicate(np.asarray(each, np.float32), place) for name, each in replicas.fields.items()}
    first = replicas.method(0)
    abstract = jax.eval_shape(
        partial(
            initial_carry, first, image_shape=image_shape, batch_size=batch_size, devices=together, parallel="shard_map"
        ),
        np.uint32(0),
    )

    def init(values: Values, seed: Seed) -> Carry:
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), abstract.replace(state=None))
        return zeros.replace(state=build(values).init(stream_key(seed, INIT_STREAM)))

    def take_steps(values: Values, carry: Carry, inputs: Inputs) -> Carry:
        return steps(build(values), **of_step)(carry, inputs)

    def sample(count: int, values: Values, state: Any, seed: Seed) -> UInt8[Array, "count height width channels"]:
        draw = build(values).sample
        assert draw is not None
        return to_bytes(draw(state, stream_key(seed, SAMPLE_STREAM), count))

    def evaluate(values: Values, state: Any, images: Array, labels: Array, seed: Seed) -> Metrics:
        return held_out_means(build(values))(state, images, labels, seed)

    def compiled(function: Callable[..., Any], *in_axes: Any, train: bool = False) -> Callable[..., Any]:
        axes, how = (0, *in_axes), {"groups": groups, "in_axes": (0, *in_axes), "train": train}
        if form == "vmap":
            over = vmapped_steps(build, **of_step) if train else jax.vmap(function, in_axes=axes)
            return partial(compile_over_replicas(over, devices, **how), values)
        one = compile_over_replicas(of_one(function, axes), devices, **how)
        if len(replicas.seeds) > groups:
            one = in_turn(one, axes, groups=groups, place=place)
        return partial(one, values)

    drawing = functools.cache(lambda count: compiled(partial(sample, count), 0, 0))
    return Program(
        init=compiled(init, 0),
        train_steps=compiled(take_steps, 0, OWN_ORDER, train=True),
        reset_metrics=compiled(reset_if_finite, 0),
        sample=(lambda states, seeds, count: drawing(count)(states, seeds)) if first.sample else None,
        evaluate=compiled(evaluate, 0, None, None, 0) if first.evaluate else None,
    )
