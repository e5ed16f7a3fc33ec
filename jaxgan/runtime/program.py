"""The compiled program of a run: many steps of a method in one call, over images that are on the device."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Int, Key, UInt8, UInt32

from jaxgan.methods import Batch, Method, Metrics
from jaxgan.runtime.devices import Device, mapped_axis, on_abstract_devices, parallelize, replicated

# Streams of random numbers. With the step and the index of an example a stream determines every random number of a run.
INIT_STREAM, STEP_STREAM, SAMPLE_STREAM, EVALUATE_STREAM, VISUALIZE_STREAM, ASSESS_STREAM = range(6)
EVALUATION_BATCH = 1000  # held-out images that pass through a network together


class Carry(struct.PyTreeNode):
    """Everything that passes from one call to the next, and everything that a checkpoint holds."""

    state: Any  # the method's
    metric_sums: Metrics  # sums of the metrics of the steps since the last row was logged
    count: Int[Array, ""]  # how many steps those are


class Inputs(NamedTuple):
    """What a call reads: images for some steps in a row, their order, and where to stop.

    Step s uses ``order[i : i + n]`` with ``i = (s % (N // n)) * n``, where n is the number of images per step and N
    that of all images here: those of the data set in the order of an epoch, or those of a chunk that begins at a
    multiple of N // n steps.
    """

    images: UInt8[Array, "*devices n height width channels"]  # of all devices, or each one's own
    labels: Int[Array, "*devices n"]
    order: Int[Array, "*replicas n"]
    seed: UInt32[Array, "*replicas"]
    stop: Int[ArrayLike, ""]  # the step to stop before, within the epoch or the chunk


OWN_IMAGES = Inputs._make((0, 0, None, None, None))  # the axes that are split over devices


def stream_key(seed: int | UInt32[Array, ""], stream: int) -> Key[Array, ""]:
    """The key from which all random numbers of one stream of a run follow."""
    return jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), stream)


def to_unit_range(images: UInt8[Array, "*shape"]) -> Array:
    """Scales bytes to [-1, 1], the range of tanh."""
    return images.astype(jnp.float32) / 127.5 - 1


def to_bytes(images: Array) -> UInt8[Array, "*shape"]:
    """Rounds images in [-1, 1] to bytes, the inverse of :func:`to_unit_range`."""
    return jnp.clip(jnp.round((images + 1) * 127.5), 0, 255).astype(jnp.uint8)


def initial_carry(
    method: Method,
    seed: UInt32[Array, ""],
    *,
    image_shape: tuple[int, int, int],
    batch_size: int = 1,
    devices: Sequence[Device] = (),
    parallel: str = "auto",
) -> Carry:
    """Builds the carry of step 0.

    Args:
      method: what is trained.
      seed: the run's seed.
      image_shape: height, width and channels of an image.
      batch_size: images per step, over all devices.
      devices: those that the method was built for, if they are more than one.
      parallel: the front end for several devices.

    Returns:
      The method's initial state, with no step counted.
    """
    state = method.init(stream_key(seed, INIT_STREAM))
    index = jnp.arange(batch_size)
    batch = Batch(jnp.zeros((batch_size, *image_shape)), index, index)
    step = method.step
    if mapped_axis(devices):
        step = on_abstract_devices(step, devices, parallel=parallel, in_axes=(None, 0, None))
    _, metrics = jax.eval_shape(step, state, batch, stream_key(seed, STEP_STREAM))  # only to learn which there are
    zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
    return Carry(state, zeros, jnp.zeros((), jnp.int32))


def reset_metrics(carry: Carry) -> Carry:
    """Sets the sums of metrics back to zero, once they are logged."""
    metric_sums, count = jax.tree.map(jnp.zeros_like, (carry.metric_sums, carry.count))
    return Carry(carry.state, metric_sums, count)


def take(examples: Array, chosen: Int[Array, " size"]) -> Array:
    """Gathers examples as flat rows, which XLA's CPU backend copies faster; each index must be that of an example."""
    # A TPU keeps images with the examples last, and would turn all of them around in every step but for the barrier.
    rows = lax.optimization_barrier(examples.reshape(len(examples), -1))
    return rows.at[chosen].get(mode="promise_in_bounds").reshape(len(chosen), *examples.shape[1:])


def examples(
    inputs: Inputs, start: Int[Array, ""], size: int
) -> tuple[UInt8[Array, "size height width channels"], Int[Array, " size"]]:
    """Gathers ``size`` images with their labels, from a place in the order on."""
    chosen = lax.dynamic_slice(inputs.order, (start,), (size,))
    return take(inputs.images, chosen), take(inputs.labels, chosen)


def one_step(
    method: Method, inputs: Inputs, *, batch_size: int, axis_name: str | None, own_images: bool = False
) -> Callable[[Carry, Int[Array, ""]], Carry]:
    """Makes the function that takes one step of a run, as one device sees it.

    Args:
      method: what is trained.
      inputs: of the call; see :class:`Inputs`.
      batch_size: images per step, over all devices.
      axis_name: the mapped axis along which the batch is split; None on one device.
      own_images: whether each device is given only the images of its own part of each batch.

    Returns:
      A function from a carry and its step to the next carry.
    """
    size = batch_size // (lax.axis_size(axis_name) if axis_name else 1)
    first = size * lax.axis_index(axis_name) if axis_name else 0
    index = first + jnp.arange(size)
    step_key = stream_key(inputs.seed, STEP_STREAM)
    images_a_step, at = (size, 0) if own_images else (batch_size, first)
    steps_at_hand = len(inputs.images) // images_a_step

    def take_step(carry: Carry, step: Int[Array, ""]) -> Carry:
        start = (step % steps_at_hand) * images_a_step + at
        images, labels = examples(inputs, start, size)
        batch = Batch(to_unit_range(images), labels, index)
        state, metrics = method.step(carry.state, batch, jax.random.fold_in(step_key, step))
        return Carry(state, jax.tree.map(jnp.add, carry.metric_sums, metrics), carry.count + 1)

    return take_step


def goes_on(carry: Carry, stop: Int[ArrayLike, ""]) -> Bool[Array, ""]:
    """Whether a run takes another step before ``stop``: not after a step whose metrics are not finite."""
    return (carry.state.step < stop) & jnp.isfinite(sum(jax.tree.leaves(carry.metric_sums)))


def steps(method: Method, **how: Any) -> Callable[[Carry, Inputs], Carry]:
    """Makes the function that takes a carry through many steps, as one device sees it.

    The number of steps is an input, not a constant: one compiled program serves every stretch of a run, and cutting a
    run into other stretches changes none of its numbers.

    Args:
      method: what is trained.
      **how: see :func:`one_step`.

    Returns:
      A function from (carry, inputs) to the carry at ``inputs.stop``, or at the first step after which a sum of
      metrics is not finite.
    """

    def run(carry: Carry, inputs: Inputs) -> Carry:
        take_step = one_step(method, inputs, **how)
        return lax.while_loop(lambda c: goes_on(c, inputs.stop), lambda c: take_step(c, c.state.step), carry)

    return run


def held_out_means(method: Method) -> Callable[[Any, Array, Array, UInt32[Array, ""]], Metrics]:
    """Makes the function that measures a state on a whole set of held-out images.

    Returns:
      A function from (state, images as bytes, labels, seed) to the metrics' means over all images.
    """
    evaluate = method.evaluate
    assert evaluate is not None

    def run(state: Any, images: Array, labels: Array, seed: UInt32[Array, ""]) -> Metrics:
        key, count = stream_key(seed, EVALUATE_STREAM), len(images)

        def part(start: int | Array, size: int) -> Metrics:
            index = start + jnp.arange(size)
            batch = Batch(to_unit_range(take(images, index)), take(labels, index), index)
            return jax.tree.map(lambda mean: mean * size / count, evaluate(state, batch, key))

        size = min(EVALUATION_BATCH, count)
        parts = lax.map(lambda i: part(i * size, size), jnp.arange(count // size))
        means = jax.tree.map(lambda shares: jnp.sum(shares, axis=0), parts)
        rest = count % size
        return jax.tree.map(jnp.add, means, part(count - rest, rest)) if rest else means

    return run


class Program(NamedTuple):
    """A method, compiled for the devices of a run."""

    init: Callable[[UInt32[Array, ""]], Carry]  # from the seed
    train_steps: Callable[[Carry, Inputs], Carry]  # donates the carry
    reset_metrics: Callable[[Carry], Carry]  # donates the carry
    sample: Callable[[Any, UInt32[Array, ""], int], UInt8[Array, "n height width channels"]] | None  # state, seed, n
    evaluate: Callable[[Any, Array, Array, UInt32[Array, ""]], Metrics] | None  # state, images, labels, seed


def compile_program(
    method: Method,
    devices: Sequence[Device],
    *,
    image_shape: tuple[int, int, int],
    batch_size: int,
    parallel: str = "auto",
    own_images: bool = False,
) -> Program:
    """Prepares the functions of a run; each is compiled when first called.

    The method is built for the axis ``mapped_axis(devices)``; for ``own_images`` see :func:`one_step`.

    Returns:
      The program. With the same seed ``sample`` draws from the same latents.
    """
    axis_name, everywhere = mapped_axis(devices), replicated(devices)
    method = method._replace(step=jax.jit(method.step, inline=True))  # traced once for `init` and `train_steps`
    start = partial(
        initial_carry, method, image_shape=image_shape, batch_size=batch_size, devices=devices, parallel=parallel
    )

    def sample(state: Any, seed: UInt32[Array, ""], count: int) -> UInt8[Array, "count height width channels"]:
        assert method.sample is not None
        return to_bytes(method.sample(state, stream_key(seed, SAMPLE_STREAM), count))

    return Program(
        init=jax.jit(start, out_shardings=everywhere),
        train_steps=parallelize(
            steps(method, batch_size=batch_size, axis_name=axis_name, own_images=own_images),
            devices,
            parallel=parallel,
            in_axes=OWN_IMAGES if own_images else None,
        ),
        reset_metrics=jax.jit(reset_metrics, donate_argnums=0, out_shardings=everywhere),
        sample=jax.jit(sample, static_argnums=2, out_shardings=everywhere) if method.sample else None,
        evaluate=jax.jit(held_out_means(method), out_shardings=everywhere) if method.evaluate else None,
    )
