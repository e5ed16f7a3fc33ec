"""How images come to the devices of a run: all at once before it begins, or chunk by chunk ahead of its steps."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int, UInt8

from jaxgan.data import Dataset, Stream
from jaxgan.data.stacking import stacked_order
from jaxgan.data.streaming import Chunk, Plan, chunks
from jaxgan.runtime.devices import place, place_parts, replicated
from jaxgan.runtime.schedule import Schedule

STEPS_A_CHUNK = 50  # at most: a run begins when its first chunk is read
BYTES_A_CHUNK = 32 * 2**20  # at most, of each process; READERS of them are on their way at a time


class Images(NamedTuple):
    """Images that are on the devices, as :class:`jaxgan.runtime.program.Inputs` has them."""

    images: UInt8[Array, "*devices n height width channels"]
    labels: Int[Array, "*devices n"]
    order: Int[Array, "*stacked n"]
    stop: int  # the step to stop before; for that and those after, ask again


Feed = Callable[[int], Images]  # from a step to the images to take it with


@contextlib.contextmanager
def feed(dataset: Dataset | Stream, devices: Sequence[jax.Device], *, schedule: Schedule, step: int) -> Iterator[Feed]:
    """Opens the way of the images to the devices.

    Both ways give every step the same images, so that they lead to the same numbers and a run may change between them.

    Args:
      dataset: the training images: arrays, of which each device gets a copy, or a stream, of which each process reads,
        and each device gets, only its own part of each batch.
      devices: those of the run, of all processes.
      schedule: of the run.
      step: where the run begins or goes on.

    Yields:
      The feed, to be asked for steps that never go back.
    """
    if isinstance(dataset, Dataset):
        yield _resident(dataset, devices, schedule=schedule)
        return
    run, shape = schedule.run, dataset.image_shape
    mine = [i for i, device in enumerate(devices) if device.process_index == jax.process_index()]
    size = run.batch_size // len(devices)
    steps = min(STEPS_A_CHUNK, max(1, BYTES_A_CHUNK // (len(mine) * size * math.prod(shape))))
    part = slice(mine[0] * size, (mine[-1] + 1) * size)
    plan = Plan(run.seed, run.batch_size, part, first=step, last=schedule.total_steps, steps=steps)
    order = place(np.arange(steps * size, dtype=np.int32), replicated(devices))

    def deliver(chunk: Chunk) -> tuple[Array, Array]:
        def by_device(array: np.ndarray) -> Array:
            parts = array.reshape(steps, len(mine), size, *array.shape[2:]).swapaxes(0, 1)
            return place_parts(parts.reshape(len(mine), steps * size, *array.shape[2:]), devices)

        return by_device(chunk.images), by_device(chunk.labels)

    with chunks(dataset, plan, deliver=deliver) as ahead:
        yield _chunk_by_chunk(ahead, order, steps=steps)


def _resident(dataset: Dataset, devices: Sequence[jax.Device], *, schedule: Schedule) -> Feed:
    everywhere = replicated(devices)
    images, labels = (place(x, everywhere) for x in (dataset.images, dataset.labels))
    steps, current, order = schedule.steps_per_epoch, None, None

    def at(step: int) -> Images:
        nonlocal current, order
        if (epoch := step // steps) != current:
            current, order = epoch, place(stacked_order(dataset, seed=schedule.run.seed, epoch=epoch), everywhere)
        return Images(images, labels, order, (epoch + 1) * steps)

    return at


def _chunk_by_chunk(ahead: Iterator[tuple[Array, Array]], order: Array, *, steps: int) -> Feed:
    current, images = None, None

    def at(step: int) -> Images:
        nonlocal current, images
        if (number := step // steps) != current:
            current, images = number, next(ahead)
        return Images(*images, order, (number + 1) * steps)

    return at
