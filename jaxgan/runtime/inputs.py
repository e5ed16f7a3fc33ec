"""The input pipeline: all images on the devices before the first step, or chunks read ahead of the steps."""

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

STEPS_PER_CHUNK = 50  # at most; a run starts when its first chunk is read
BYTES_PER_CHUNK = 32 * 2**20  # at most, per process; as many chunks as there are READERS are read ahead


class Images(NamedTuple):
    """Images on the devices, laid out as in :class:`jaxgan.runtime.program.Inputs`."""

    images: UInt8[Array, "*devices n height width channels"]
    labels: Int[Array, "*devices n"]
    order: Int[Array, "*replicas n"]
    stop: int  # the first step that needs other images


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

    Every step gets the same images from memory as from a stream, so a run may switch between them.

    Args:
      dataset: the training images: arrays, which are copied to each device, or a stream, of which each process reads,
        and each device gets, only its own part of each batch.
      devices: the devices of the run, of all processes.
      schedule: the schedule of the run.
      step: the step at which the run starts or resumes.
      replicas: the replicas of the run, if any, for images in memory only: each uses the order of its own seed.

    Yields:
      A function from a step to its images; the step must never decrease.
    """
    if isinstance(dataset, Dataset):
        yield _resident(dataset, devices, schedule=schedule, replicas=replicas)
        return
    run, shape = schedule.run, dataset.image_shape
    local = [i for i, device in enumerate(devices) if device.process_index == jax.process_index()]
    size = run.batch_size // len(devices)
    steps = min(STEPS_PER_CHUNK, max(1, BYTES_PER_CHUNK // (len(local) * size * math.prod(shape))))
    part = slice(local[0] * size, (local[-1] + 1) * size)
    plan = Plan(run.seed, run.batch_size, part, first=step, last=schedule.total_steps, steps=steps)
    order = replicate(np.arange(steps * size, dtype=np.int32), replicated(devices))

    def deliver(chunk: Chunk) -> tuple[Array, Array]:
        def by_device(array: np.ndarray) -> Array:
            parts = array.reshape(steps, len(local), size, *array.shape[2:]).swapaxes(0, 1)
            return shard(parts.reshape(len(local), steps * size, *array.shape[2:]), devices)

        return by_device(chunk.images), by_device(chunk.labels)

    with chunks(dataset, plan, deliver=deliver) as ahead:
        chunk = functools.lru_cache(1)(lambda number: next(ahead))  # chunks are requested in order
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
