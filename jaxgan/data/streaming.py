"""Images that are read while a run goes on, in the order in which a run that holds all of them would take them.

The order of an epoch is a function of the seed and the epoch (:func:`jaxgan.data.order.epoch_order`), so what a step
needs follows from its number. A run that goes on therefore starts to read at its step, and no position of the reader
is saved: Grain's own is an index into a sequence that it would have to be told again, seed, batch size and number of
processes, and these a checkpoint's folder holds in its config, where a change that matters is refused.
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

READERS = 4  # at most: a thread reads and decodes a chunk, and holds Python's lock for half of the time


class Plan(NamedTuple):
    """What a run reads of a stream.

    Attributes:
      seed: the run's.
      batch_size: images in a step, over all processes.
      part: which of them this process takes.
      first: the first step to read for.
      last: the step before which to stop.
      steps: how many steps a chunk lasts; chunk i is for the steps from ``i * steps``.
    """

    seed: int
    batch_size: int
    part: slice
    first: int
    last: int
    steps: int


class Chunk(NamedTuple):
    """Images for the steps of a chunk; of steps outside of the plan they are black."""

    images: UInt8[np.ndarray, "steps part height width channels"]
    labels: Int32[np.ndarray, "steps part"]


@contextlib.contextmanager
def chunks(stream: Stream, plan: Plan, *, deliver: Callable[[Chunk], T]) -> Iterator[Iterator[T]]:
    """Reads a stream ahead of who uses it, by Grain, in threads that end with the context.

    Args:
      stream: what to read.
      plan: for which steps.
      deliver: what is done with each chunk, ahead of its use too: putting it on the devices.

    Yields:
      What ``deliver`` returns of each chunk, from that of ``plan.first`` on. Taking one waits until it is there, and
      raises OSError if it cannot be read.
    """
    import grain  # takes a second, and only streams need it
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
      stream: what to read.
      plan: for which steps.
      number: which chunk.
      order: the order of an epoch, as :func:`epoch_order`.

    Returns:
      The images that this process takes.

    Raises:
      OSError: if a record cannot be read.
    """
    steps_per_epoch = stream.size // plan.batch_size

    def rows(step: int) -> Int32[np.ndarray, " part"]:
        epoch, place = divmod(step, steps_per_epoch)
        batch = order(stream.size, seed=plan.seed, epoch=epoch)[place * plan.batch_size :][: plan.batch_size]
        return batch[plan.part]

    begin = number * plan.steps
    wanted = range(max(begin, plan.first), min(begin + plan.steps, plan.last))
    at, size = wanted.start - begin, len(range(plan.batch_size)[plan.part])
    chunk = Chunk(np.zeros((plan.steps, size, *stream.image_shape), np.uint8), np.zeros((plan.steps, size), np.int32))
    try:
        found = stream.read(np.concatenate([rows(step) for step in wanted]))
    except UserError as error:  # which is one that all processes have; this may be the disk of one of them
        raise OSError(str(error)) from error
    for whole, read in zip(chunk, found, strict=True):
        whole[at : at + len(wanted)] = read.reshape(len(wanted), *whole.shape[1:])
    return chunk
