"""The compiled program of a run: many steps of a method in one call, over images on the device."""

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

# Streams of random numbers. Seed, stream, step and example index determine every random number of a run.
INIT_STREAM, STEP_STREAM, SAMPLE_STREAM, EVALUATE_STREAM, VISUALIZE_STREAM, ASSESS_STREAM = range(6)
EVALUATION_BATCH = 1000  # held-out images per batch


class Carry(struct.PyTreeNode):
    """Everything that passes from one call to the next, and everything that a checkpoint holds."""

    state: Any  # state of the method
    metric_sums: Metrics  # sums of the metrics since the last row was logged
    count: Int[Array, ""]  # number of steps in these sums


class Inputs(NamedTuple):
    """The inputs of a call: images for consecutive steps, their order, and where to stop.

    Step s uses ``order[i : i + n]`` with ``i = (s % (N // n)) * n``, where n is the number of images per step and N the
    number of images here: the data set in the order of an epoch, or a chunk that starts at a multiple of N // n steps.
    """

    images: UInt8[Array, "*devices n height width channels"]  # shared by all devices, or split over them
    labels: Int[Array, "*devices n"]
    order: Int[Array, "*replicas n"]
    seed: UInt32[Array, "*replicas"]
    stop: Int[ArrayLike, ""]  # the step to stop before, within the epoch or the chunk


OWN_IMAGES = Inputs._make((0, 0, None, None, None))  # the axes that are split over devices


def stream_key(seed: int | UInt32[Array, ""], stream: int) -> Key[Array, ""]:
    """Returns the key of one stream of random numbers of a run."""
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
      method: the method to train.
      seed: the seed of the run.
      image_shape: height, width and channels of an image.
      batch_size: images per step, over all devices.
      devices: the devices that the method was built for, if there is more than one.
      parallel: the front end for several devices.

    Returns:
      The initial state of the method, with metric sums of zero.
    """
    state = method.init(stream_key(seed, INIT_STREAM))
    index = jnp.arange(batch_size)
    batch = Batch(jnp.zeros((batch_size, *image_shape)), index, index)
    step = method.step
    if mapped_axis(devices):
        step = on_abstract_devices(step, devices, parallel=parallel, in_axes=(None, 0, None))
    _, metrics = jax.eval_shape(step, state, batch, stream_key(seed, STEP_STREAM))  # only for names and shapes
    zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
    return Carry(state, zeros, jnp.zeros((), jnp.int32))


def reset_metrics(carry: Carry) -> Carry:
    """Resets the metric sums to zero, after they are logged."""
    metric_sums, count = jax.tree.map(jnp.zeros_like, (carry.metric_sums, carry.count))
    return Carry(carry.state, metric_sums, count)


def take(examples: Array, index: Int[Array, " size"]) -> Array:
    """Gathers examples as flat rows, which XLA's CPU backend copies faster; each index must be in bounds."""
    # TPUs store images with the example axis last. Without the barrier, every step would transpose all of them.
    rows = lax.optimization_barrier(examples.reshape(len(examples), -1))
    return rows.at[index].get(mode="promise_in_bounds").reshape(len(index), *examples.shape[1:])


def examples(
    inputs: Inputs, start: Int[Array, ""], size: int
) -> tuple[UInt8[Array, "size height width channels"], Int[Array, " size"]]:
    """Gathers ``size`` images and their labels, from position ``start`` of the order."""
    index = lax.dynamic_slice(inputs.order, (start,), (size,))
    return take(inputs.images, index), take(inputs.labels, index)


def one_step(
    method: Method, inputs: Inputs, *, batch_size: int, axis_name: str | None, own_images: bool = False
) -> Callable[[Carry, Int[Array, ""]], Carry]:
    """Makes the function that takes one step of a run on one device.

    Args:
      method: the method to train.
      inputs: the inputs of the call.
      batch_size: images per step, over all devices.
      axis_name: the mapped axis along which the batch is split; None on one device.
      own_images: whether ``inputs`` holds only this device's part of each batch.

    Returns:
      A function from a carry and its step to the next carry.
    """
    size = batch_size // (lax.axis_size(axis_name) if axis_name else 1)
    first = size * lax.axis_index(axis_name) if axis_name else 0
    index = first + jnp.arange(size)
    step_key = stream_key(inputs.seed, STEP_STREAM)
    images_per_step, offset = (size, 0) if own_images else (batch_size, first)
    steps_at_hand = len(inputs.images) // images_per_step

    def take_step(carry: Carry, step: Int[Array, ""]) -> Carry:
        start = (step % steps_at_hand) * images_per_step + offset
        images, labels = examples(inputs, start, size)
        batch = Batch(to_unit_range(images), labels, index)
        state, metrics = method.step(carry.state, batch, jax.random.fold_in(step_key, step))
        return Carry(state, jax.tree.map(jnp.add, carry.metric_sums, metrics), carry.count + 1)

    return take_step


def goes_on(carry: Carry, stop: Int[ArrayLike, ""]) -> Bool[Array, ""]:
    """Returns whether a run takes another step: it stops at ``stop``, and after a step with non-finite metrics."""
    return (carry.state.step < stop) & jnp.isfinite(sum(jax.tree.leaves(carry.metric_sums)))


def steps(method: Method, **how: Any) -> Callable[[Carry, Inputs], Carry]:
    """Makes the function that takes many steps of a run on one device.

    The number of steps is an input, not a constant: one compiled program serves all calls, and their lengths change no
    numbers.

    Args:
      method: the method to train.
      **how: see :func:`one_step`.

    Returns:
      A function from (carry, inputs) to the carry at ``inputs.stop``, or after the first step with non-finite metrics.
    """

    def run(carry: Carry, inputs: Inputs) -> Carry:
        take_step = one_step(method, inputs, **how)
        return lax.while_loop(lambda c: goes_on(c, inputs.stop), lambda c: take_step(c, c.state.step), carry)

    return run


def held_out_means(method: Method) -> Callable[[Any, Array, Array, UInt32[Array, ""]], Metrics]:
    """Makes the function that evaluates a state on all held-out images.

    Returns:
      A function from (state, images as bytes, labels, seed) to metrics, averaged over all images.
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
    """Makes the functions of a run; each compiles at its first call.

    The method must be built for the axis ``mapped_axis(devices)``; for ``own_images`` see :func:`one_step`.

    Returns:
      The program. With the same seed, ``sample`` draws from the same latents.
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
