"""A run that is fed from a stream leaves the bytes behind that it leaves when its images are in memory."""

import struct

import jax
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from jaxgan.data import Stream
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime import inputs
from tests.training import Part, assert_same, content, train_in_parts, with_run


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch):
    monkeypatch.setattr(inputs, "STEPS_PER_CHUNK", 2)  # so that a run takes five of them, and epochs end within


@pytest.fixture
def toy_stream(toy_dataset):
    read = lambda rows: (toy_dataset.images[rows], toy_dataset.labels[rows])
    return Stream("toy", toy_dataset.size, toy_dataset.image_shape, toy_dataset.class_names, read)


@pytest.fixture(scope="module")
def in_memory(finished_toy_run):
    return content(finished_toy_run)


@pytest.mark.slow
def test_a_run_moves_between_memory_and_stream_and_may_be_killed(toy_config, toy_dataset, toy_stream, in_memory):
    parts = [Part(toy_dataset, 2), Part(toy_stream, 4, killed=True), Part(toy_stream, 7), Part(toy_dataset)]
    assert_same(train_in_parts(toy_config, *parts), in_memory)


@pytest.mark.slow
def test_two_devices_take_their_parts_of_a_stream_to_one_s_numbers(toy_config, toy_stream, in_memory):
    _, state = train_in_parts(toy_config, Part(toy_stream), devices=2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), state, in_memory[1])


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "parallel"), [(2, "pmap"), (4, "shard_map")])
def test_a_stream_of_several_devices_is_resumed_to_the_bit(toy_config, toy_stream, tmp_path, devices, parallel):
    config = with_run(toy_config, parallel=parallel)
    whole = train_in_parts(with_run(config, workdir=tmp_path / "whole"), Part(toy_stream), devices=devices)
    cut = [Part(toy_stream, 5, killed=True), Part(toy_stream)]
    assert_same(train_in_parts(with_run(config, workdir=tmp_path / "cut"), *cut, devices=devices), whole)


def scalars(folder, name):
    """The values of a scalar in TensorBoard's event files."""
    values = []
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):  # records: length, its checksum, an event, its checksum
            (size,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + size])
            values += [value.simple_value for value in event.summary.value if value.tag == name]
            at += size + 16
    return values


@pytest.mark.slow
def test_in_one_go_the_bytes_are_the_same_and_waits_go_elsewhere(toy_config, toy_stream, in_memory):
    assert_same(train_in_parts(toy_config, Part(toy_stream), seconds_per_call=10.0), in_memory)
    waits = scalars(Workdir(toy_config.run.workdir).tensorboard, "time/input")
    assert len(waits) == 6  # one for each row of metrics
    assert all(wait > 0 for wait in waits)
