import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan.data import Stream, pipeline
from jaxgan.data.order import epoch_order
from jaxgan.data.streaming import Plan, chunks, read_chunk
from jaxgan.errors import UserError

SIZE = 23
IMAGES = np.random.default_rng(0).integers(0, 256, (SIZE, 3, 2, 1), np.uint8)
LABELS = np.arange(SIZE, dtype=np.int32)


def stream_of(read=lambda rows: (IMAGES[rows], LABELS[rows])):
    return Stream("toy", SIZE, (3, 2, 1), tuple(map(str, range(SIZE))), read)


def in_memory(plan, step):
    """The labels of a step's batch, which tell the images apart."""
    epoch, place = divmod(step, SIZE // plan.batch_size)
    return epoch_order(SIZE, seed=plan.seed, epoch=epoch)[place * plan.batch_size :][: plan.batch_size]


@given(
    seed=st.integers(0, 9),
    batch_size=st.sampled_from([2, 4, 6]),
    processes=st.sampled_from([1, 2]),
    first=st.integers(0, 20),
    count=st.integers(1, 20),
    steps=st.integers(1, 30),
)
@settings(max_examples=60)
def test_the_parts_of_all_processes_are_the_batches_of_a_run_in_memory(
    seed, batch_size, processes, first, count, steps
):
    share = batch_size // processes
    plans = [
        Plan(seed, batch_size, slice(i * share, (i + 1) * share), first, first + count, steps) for i in range(processes)
    ]
    for number in range(first // steps, -(-(first + count) // steps)):
        parts = [read_chunk(stream_of(), plan, number) for plan in plans]
        images, labels = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
        assert len(images) == steps
        for place, step in enumerate(range(number * steps, (number + 1) * steps)):
            if first <= step < first + count:
                np.testing.assert_array_equal(labels[place], in_memory(plans[0], step))
                np.testing.assert_array_equal(images[place], IMAGES[labels[place]])
            else:
                assert not images[place].any()


def test_a_process_reads_its_part_alone_and_only_of_the_steps_to_come():
    asked = []
    stream = stream_of(lambda rows: (asked.extend(rows), (IMAGES[rows], LABELS[rows]))[1])
    plan = Plan(0, 6, slice(2, 4), first=5, last=7, steps=4)
    read_chunk(stream, plan, 1)
    assert asked == [row for step in (5, 6) for row in in_memory(plan, step)[2:4]]


def test_chunks_come_in_order_from_the_first_step_to_the_last_and_end():
    plan = Plan(0, 4, slice(0, 4), first=7, last=21, steps=3)
    with chunks(stream_of(), plan, deliver=lambda chunk: chunk.labels.copy()) as ahead:
        found = np.concatenate(list(ahead))
    expected = [in_memory(plan, step) for step in range(7, 21)]
    np.testing.assert_array_equal(found[1:], expected)
    assert not found[0].any()  # step 6 is of the same chunk, and done


def test_the_next_chunk_is_read_and_delivered_while_one_is_in_use():
    delivered = threading.Semaphore(0)
    plan = Plan(0, 4, slice(0, 4), first=0, last=30, steps=3)
    with chunks(stream_of(), plan, deliver=lambda chunk: delivered.release()) as ahead:
        next(ahead)
        for _ in range(2):  # the one in use, and another that nobody has asked for
            assert delivered.acquire(timeout=30)


def test_reading_ends_with_the_context():
    before = set(threading.enumerate())
    with chunks(stream_of(), Plan(0, 4, slice(0, 4), 0, 10**6, 3), deliver=lambda chunk: chunk) as ahead:
        next(ahead)
        assert set(threading.enumerate()) - before
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_an_unreadable_record_is_an_error_of_this_process_when_needed():
    def read(rows):
        raise UserError("the directory: damaged")

    with (
        chunks(stream_of(read), Plan(0, 4, slice(0, 4), 0, 9, 3), deliver=lambda chunk: chunk) as ahead,
        pytest.raises(OSError, match="the directory: damaged"),
    ):
        next(ahead)


def test_a_prepared_directory_streams_what_is_loaded_from_it(small, prepared_dir):
    loaded = pipeline.load(small.spec, "train", data_dir=prepared_dir)
    stream = pipeline.stream(small.spec, "train", data_dir=prepared_dir)
    assert (stream.size, stream.image_shape, stream.class_names) == (50, (28, 28, 1), loaded.class_names)
    rows = np.array([49, 0, 7, 7])
    for found, expected in zip(stream.read(rows), (loaded.images[rows], loaded.labels[rows]), strict=True):
        np.testing.assert_array_equal(found, expected)
    first = stream.everything(most=3)
    np.testing.assert_array_equal(first.images, loaded.images[:3])


def test_a_damaged_record_is_named(small, prepared_dir):
    stream = pipeline.stream(small.spec, "train", data_dir=prepared_dir)
    (path,) = (prepared_dir / "mnist" / "3.0.1").glob("*train*")
    content = bytearray(path.read_bytes())
    content[1000:-1000:7] = bytes(len(content[1000:-1000:7]))
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"3\.0\.1: damaged, remove it"):
        stream.read(range(50))
