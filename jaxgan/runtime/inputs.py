"""The input pipeline: all images on the devices before the first step, or chunk by chunk ahead of the steps."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int, UInt8

from jaxgan.data import Dataset, Stream
from jaxgan.data.order import epoch_order
from jaxgan.data.streaming import Chunk, Plan, chunks
from jaxgan.runtime.devices import Device, replicate, replicated, shard
from jaxgan.runtime.replicas import Replicas
from jaxgan.runtime.schedule import Schedule

STEPS_PER_CHUNK = 50  # at most: a run begins when its first chunk is read
BYTES_PER_CHUNK = 32 * 2**20  # at most, of each process; as many chunks as there are READERS are read ahead


class Images(NamedTuple):
    """Images that are on the devices, as :class:`jaxgan.runtime.program.Inputs` has them."""

    images: UInt8[Array, "*devices n height width channels"]
    labels: Int[Array, "*devices n"]
    order: Int[Array, "*replicas n"]
    stop: int  # the step to stop before; for that and those after, ask again


ImagesAt = Callable[[int], Images]  # from a step to its images


@contextlib.contextmanager
def open_inputs(
    dataset: Dataset | Stream,
    devices: Sequence[Device],
    *,
    schedule: Schedule,
    step: int,
    replicas: Replicas | None = None,
) -> Iterator[ImagesAt]:
    """Opens the input pipeline.

    Memory and stream give every step the same images, so a run may change between them.

    Args:
      dataset: the training images: arrays, of which each device gets a copy, or a stream, of which each process reads,
        and each device gets, only its own part of each batch.
      devices: those of the run, of all processes.
      schedule: of the run.
      step: where the run begins or goes on.
      replicas: of the run, if it has several, on images in memory: each takes them in the order of its own seed.

    Yields:
      A function from a step to its images; its argument never decreases.
    """
    if isinstance(dataset, Dataset):
        yield _resident(dataset, devices, schedule=schedule, replicas=replicas)
        return
    run, shape = schedule.run, dataset.image_shape
    mine = [i for i, device in enumerate(devices) if device.process_index == jax.process_index()]
    size = run.batch_size // len(devices)
    steps = min(STEPS_PER_CHUNK, max(1, BYTES_PER_CHUNK // (len(mine) * size * math.prod(shape))))
    part = slice(mine[0] * size, (mine[-1] + 1) * size)
    plan = Plan(run.seed, run.batch_size, part, first=step, last=schedule.total_steps, steps=steps)
    order = replicate(np.arange(steps * size, dtype=np.int32), replicated(devices))

    def deliver(chunk: Chunk) -> tuple[Array, Array]:
        def by_device(array: np.ndarray) -> Array:
            parts = array.reshape(steps, len(mine), size, *array.shape[2:]).swapaxes(0, 1)
            return shard(parts.reshape(len(mine), steps * size, *array.shape[2:]), devices)

        return by_device(chunk.images), by_device(chunk.labels)

    with chunks(dataset, plan, deliver=deliver) as ahead:
        chunk = functools.lru_cache(1)(lambda number: next(ahead))  # each number is asked for after the one before
        yield lambda step: Images(*chunk(step // steps), order, (step // steps + 1) * steps)


def _resident(
    dataset: Dataset, devices: Sequence[Device], *, schedule: Schedule, replicas: Replicas | None
) -> ImagesAt:
    everywhere = replicated(devices)
    images, labels = (replicate(x, everywhere) for x in (dataset.images, dataset.labels))
    steps = schedule.steps_per_epoch

    @functools.lru_cache(1)
    def order_of(epoch: int) -> Array:
        if replicas is None:
            return replicate(epoch_order(dataset.size, seed=schedule.run.seed, epoch=epoch), everywhere)
        orders = {seed: epoch_order(dataset.size, seed=seed, epoch=epoch) for seed in set(replicas.seeds)}
        return replicate(np.stack([orders[seed] for seed in replicas.seeds]), replicas.sharding(devices))

    return lambda step: Images(images, labels, order_of(step // steps), (step // steps + 1) * steps)
