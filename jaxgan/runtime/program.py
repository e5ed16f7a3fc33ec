"""The compiled heart of a run: many steps of a method in one call, over images that are on the device."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax
from jaxtyping import Array, Bool, Int, Key, UInt8, UInt32

from jaxgan.data.stacking import together
from jaxgan.methods import Batch, Method, Metrics
from jaxgan.runtime.devices import AXIS, replicated, spread

# What a key is for. With the step and the index of an example it determines every random number of a run.
INIT_ROLE, STEP_ROLE, SAMPLE_ROLE, EVALUATE_ROLE, EXHIBIT_ROLE, ASSESS_ROLE = range(6)
EVALUATED_AT_ONCE = 1000  # held-out images that pass through a network together


@struct.dataclass
class Carry:
    """All that goes from one call to the next, and all that a checkpoint holds."""

    state: Any  # the method's
    sums: Metrics  # sums of the metrics of the steps since the last row was logged
    count: Int[Array, ""]  # how many steps those are


class Inputs(NamedTuple):
    """What a call reads: images for some steps in a row, their order, and how far to go.

    With n images for each step, and N of them, step s takes those that stand in `order` from n * (s modulo N // n) on.
    So it is if these are all images and the order is an epoch's, and if they are those of a chunk, as they are needed,
    and chunks begin at multiples of their number of steps.
    """

    images: UInt8[Array, "*devices n height width channels"]  # of all devices, or each one's own
    labels: Int[Array, "*devices n"]
    order: Int[Array, "*stacked n"]  # with an axis more, what examples are stacked from
    seed: UInt32[Array, ""]
    stop: Int[Array, ""]  # the step to stop before, within the epoch, or the chunk


OWN_IMAGES = Inputs(images=0, labels=0, order=None, seed=None, stop=None)  # the axes along which devices share inputs


def role_key(seed: int | UInt32[Array, ""], role: int) -> Key[Array, ""]:
    """The key from which all random numbers of one role in a run follow."""
    return jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), role)


def to_unit_range(images: UInt8[Array, "*shape"]) -> Array:
    """Scales bytes to [-1, 1], the range of tanh."""
    return images.astype(jnp.float32) / 127.5 - 1


def to_bytes(images: Array) -> UInt8[Array, "*shape"]:
    """Rounds images in [-1, 1] to bytes, the inverse of :func:`to_unit_range`."""
    return jnp.clip(jnp.round((images + 1) * 127.5), 0, 255).astype(jnp.uint8)


def initial_carry(
    method: Method, seed: UInt32[Array, ""], *, image_shape: tuple[int, int, int], batch_size: int = 1
) -> Carry:
    """Builds the carry of step 0; run it compiled, so that it begins where its output sharding says.

    Args:
      method: what is trained, built for one device.
      seed: the run's seed.
      image_shape: height, width and channels of an image.
      batch_size: images that the method can make a step with.

    Returns:
      The method's initial state, with no step counted.
    """
    state = method.init(role_key(seed, INIT_ROLE))
    index = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    batch = Batch(jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.float32), index, index)
    _, metrics = jax.eval_shape(method.step, state, batch, role_key(seed, STEP_ROLE))
    zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
    return Carry(state, zeros, jnp.zeros((), jnp.int32))


def forget_sums(carry: Carry) -> Carry:
    """Sets the sums of a carry back to zero, once they are logged."""
    sums, count = jax.tree.map(jnp.zeros_like, (carry.sums, carry.count))
    return Carry(carry.state, sums, count)


def take(examples: Array, chosen: Int[Array, " size"]) -> Array:
    """Gathers examples as flat rows, which XLA's CPU backend copies faster; each index must be that of an example."""
    # A TPU keeps images with the examples last, and would turn all of them around in every step but for the barrier.
    rows = lax.optimization_barrier(examples.reshape(len(examples), -1))
    return rows.at[chosen].get(mode="promise_in_bounds").reshape(len(chosen), *examples.shape[1:])


def examples(inputs: Inputs, start: Int[Array, ""], size: int) -> tuple[UInt8[Array, "..."], Int[Array, " size"]]:
    """Gathers the images that stand in the order from some place on, with their labels; stacks them if it has rows."""
    if inputs.order.ndim == 1:
        chosen = lax.dynamic_slice(inputs.order, (start,), (size,))
        return take(inputs.images, chosen), take(inputs.labels, chosen)
    rows = lax.dynamic_slice_in_dim(inputs.order, start, size, axis=1)
    images = jnp.concatenate([take(inputs.images, row) for row in rows], axis=-1)
    return images, together([take(inputs.labels, row) for row in rows])


def steps(
    method: Method, *, batch_size: int, axis_name: str | None, own_images: bool = False
) -> Callable[[Carry, Inputs], Carry]:
    """Makes the function that takes a carry through many steps, as one device sees it.

    The number of steps is an input, not a constant: one compiled program serves every stretch of a run, and cutting a
    run into other stretches changes none of its numbers.

    Args:
      method: what is trained.
      batch_size: images in a step, over all devices.
      axis_name: the mapped axis along which the batch is split; None on one device.
      own_images: whether each device is given the images of its own part of each batch; otherwise those of all.

    Returns:
      A function from (carry, inputs) to the carry at ``inputs.stop``, or at the first step after which a sum of
      metrics is not finite.
    """

    def run(carry: Carry, inputs: Inputs) -> Carry:
        size = batch_size // (lax.axis_size(axis_name) if axis_name else 1)
        first = size * lax.axis_index(axis_name) if axis_name else 0
        index = first + jnp.arange(size)
        step_key = role_key(inputs.seed, STEP_ROLE)
        images_a_step, at = (size, 0) if own_images else (batch_size, first)
        steps_at_hand = len(inputs.images) // images_a_step

        def body(carry: Carry) -> Carry:
            step = carry.state.step
            start = (step % steps_at_hand) * images_a_step + at
            images, labels = examples(inputs, start, size)
            batch = Batch(to_unit_range(images), labels, index)
            state, metrics = method.step(carry.state, batch, jax.random.fold_in(step_key, step))
            return Carry(state, jax.tree.map(jnp.add, carry.sums, metrics), carry.count + 1)

        def goes_on(carry: Carry) -> Bool[Array, ""]:
            return (carry.state.step < inputs.stop) & jnp.isfinite(sum(jax.tree.leaves(carry.sums)))

        return lax.while_loop(goes_on, body, carry)

    return run


def held_out_means(method: Method) -> Callable[[Any, Array, Array, UInt32[Array, ""]], Metrics]:
    """Makes the function that measures a state on a whole set of held-out images.

    Args:
      method: a method that has ``evaluate``, built for one device.

    Returns:
      A function from (state, images as bytes, labels, seed) to the metrics' means over all images.
    """

    def run(state: Any, images: Array, labels: Array, seed: UInt32[Array, ""]) -> Metrics:
        key, count = role_key(seed, EVALUATE_ROLE), len(images)

        def part(start: int | Array, size: int) -> Metrics:
            index = start + jnp.arange(size)
            batch = Batch(to_unit_range(take(images, index)), take(labels, index), index)
            return jax.tree.map(lambda mean: mean * size / count, method.evaluate(state, batch, key))

        size = min(EVALUATED_AT_ONCE, count)
        parts = lax.map(lambda i: part(i * size, size), jnp.arange(count // size))
        means = jax.tree.map(lambda shares: jnp.sum(shares, axis=0), parts)
        rest = count % size
        return jax.tree.map(jnp.add, means, part(count - rest, rest)) if rest else means

    return run


class Program(NamedTuple):
    """A method, compiled for the devices of a run."""

    init: Callable[[UInt32[Array, ""]], Carry]  # from the seed
    advance: Callable[[Carry, Inputs], Carry]  # donates the carry
    forget: Callable[[Carry], Carry]  # sets the sums back to zero; donates the carry
    sample: Callable[[Any, UInt32[Array, ""], int], UInt8[Array, "n height width channels"]] | None  # state, seed, n
    evaluate: Callable[[Any, Array, Array, UInt32[Array, ""]], Metrics] | None  # state, images, labels, seed


def compile_program(
    build: Callable[[str | None], Method],
    devices: Sequence[jax.Device],
    *,
    image_shape: tuple[int, int, int],
    batch_size: int,
    parallel: str = "auto",
    own_images: bool = False,
) -> Program:
    """Prepares the functions of a run; each is compiled when first called.

    Args:
      build: makes the method for a mapped axis, or for one device when given None.
      devices: where to run.
      image_shape: height, width and channels of an image.
      batch_size: images in a step, over all devices; a multiple of their number.
      parallel: the front end for several devices.
      own_images: whether each device is given the images of its own part of each batch; otherwise those of all.

    Returns:
      The program. With the same seed ``sample`` draws from the same latents.
    """
    axis_name = AXIS if len(devices) > 1 else None
    alone = build(None)
    everywhere = replicated(devices)

    def sample(state: Any, seed: UInt32[Array, ""], count: int) -> UInt8[Array, "count height width channels"]:
        return to_bytes(alone.sample(state, role_key(seed, SAMPLE_ROLE), count))

    return Program(
        init=jax.jit(
            partial(initial_carry, alone, image_shape=image_shape, batch_size=batch_size), out_shardings=everywhere
        ),
        forget=jax.jit(forget_sums, donate_argnums=0, out_shardings=everywhere),
        advance=spread(
            steps(build(axis_name), batch_size=batch_size, axis_name=axis_name, own_images=own_images),
            devices,
            parallel=parallel,
            in_axes=OWN_IMAGES if own_images else None,
        ),
        sample=jax.jit(sample, static_argnums=2, out_shardings=everywhere) if alone.sample else None,
        evaluate=jax.jit(held_out_means(alone), out_shardings=everywhere) if alone.evaluate else None,
    )
