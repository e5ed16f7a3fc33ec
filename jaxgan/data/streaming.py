"""Streams images from disk during a run, in the same order as a run with all images in memory.

The order of an epoch is a function of seed and epoch (:func:`jaxgan.data.order.epoch_order`), so the step number
determines the images of a step. A resumed run starts to read at its step; checkpoints have no reader position.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int32, UInt8

from jaxgan.data.dataset import Stream
from jaxgan.data.order import epoch_order
from jaxgan.errors import UserError

T = TypeVar("T")

READERS = 4  # most threads; each reads and decodes a chunk, and holds the GIL half of the time


class Plan(NamedTuple):
    """The part of a stream that a run reads."""

    seed: int  # of the run
    batch_size: int  # images per step, over all processes
    part: slice  # the images of each step that this process reads
    first: int  # the first step
    last: int  # one more than the last step
    steps: int  # steps per chunk; chunk i starts at step ``i * steps``


class Chunk(NamedTuple):
    """The images for the steps of a chunk; steps outside of the plan have black images."""

    images: UInt8[np.ndarray, "steps part height width channels"]
    labels: Int32[np.ndarray, "steps part"]


@contextlib.contextmanager
def chunks(stream: Stream, plan: Plan, *, deliver: Callable[[Chunk], T]) -> Iterator[Iterator[T]]:
    """Prefetches a stream by Grain, in threads that end with the context.

    Args:
      stream: the images.
      plan: the steps.
      deliver: maps each chunk to a value, also ahead of its use, for example by a transfer to the devices.

    Yields:
      An iterator over the values of ``deliver``, from the chunk of ``plan.first`` on. It waits for chunks that are not
      read yet, and raises OSError if one cannot be read.
    """
    import grain  # slow to import, and only streams need it
    from grain.experimental import ThreadPrefetchIterDataset

    readers = min(READERS, os.cpu_count() or 1)
    numbers = grain.MapDataset.range(plan.first // plan.steps, -(-plan.last // plan.steps))
    read = numbers.map(functools.partial(read_chunk, stream, plan, order=functools.lru_cache(2)(epoch_order)))
    ahead = read.to_iter_dataset(grain.ReadOptions(num_threads=readers, prefetch_buffer_size=readers)).map(deliver)
    iterator = iter(ThreadPrefetchIterDataset(ahead, prefetch_buffer_size=1))
    iterator.start_prefetch()
    try:
        yield iterator
    finally:
        iterator.close()


def read_chunk(stream: Stream, plan: Plan, number: int, *, order: Callable[..., np.ndarray] = epoch_order) -> Chunk:
    """Reads the images of one chunk.

    Args:
      stream: the images.
      plan: the steps.
      number: the index of the chunk.
      order: the order of an epoch, as :func:`epoch_order`.

    Returns:
      The part of the chunk for this process.

    Raises:
      OSError: if a record cannot be read.
    """
    steps_per_epoch = stream.size // plan.batch_size

    def rows(step: int) -> Int32[np.ndarray, " part"]:
        epoch, place = divmod(step, steps_per_epoch)
        batch = order(stream.size, seed=plan.seed, epoch=epoch)[place * plan.batch_size :][: plan.batch_size]
        return batch[plan.part]

    start = number * plan.steps
    wanted = range(max(start, plan.first), min(start + plan.steps, plan.last))
    at, size = wanted.start - start, len(range(plan.batch_size)[plan.part])
    chunk = Chunk(np.zeros((plan.steps, size, *stream.image_shape), np.uint8), np.zeros((plan.steps, size), np.int32))
    try:
        found = stream.read(np.concatenate([rows(step) for step in wanted]))
    except UserError as error:  # a UserError must be the same on all processes, but one disk may fail alone
        raise OSError(str(error)) from error
    for whole, read in zip(chunk, found, strict=True):
        whole[at : at + len(wanted)] = read.reshape(len(wanted), *whole.shape[1:])
    return chunk
