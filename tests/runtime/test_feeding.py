"""A run that is fed from a stream leaves the bytes behind that it leaves when its images are in memory."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxgan.data import Stream
from jaxgan.runtime import checkpoints, feeding, loop, workdir
from jaxgan.runtime.interrupts import Interrupted
from jaxgan.runtime.schedule import Schedule

TOTAL = 9  # steps: three epochs of three batches


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch):
    monkeypatch.setattr(feeding, "STEPS_A_CHUNK", 2)  # so that a run takes five of them, and epochs end within


@pytest.fixture
def toy_stream(toy_dataset):
    def read(rows):
        return toy_dataset.images[rows], toy_dataset.labels[rows]

    return Stream("toy", toy_dataset.size, toy_dataset.image_shape, toy_dataset.class_names, read)


class Killed(Exception):
    """Stands for a signal that leaves a run no time to save."""


def train(config, folder, parts, *, devices=1):
    """Trains with one source of images after the other, each killed or told to stop at its step."""
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, workdir=folder))
    for number, (dataset, end, how) in enumerate(parts):
        reached = {"step": 0}

        def report(now, *, end=end, how=how, reached=reached):
            reached["step"] = now.step
            if how == "killed" and now.step >= end:
                raise Killed

        try:
            loop.train(
                config,
                dataset,
                jax.devices()[:devices],
                resume=number > 0,
                stop=lambda *, end=end, how=how, reached=reached: (
                    15 if how == "told" and reached["step"] >= end else None
                ),
                report=report,
                seconds_a_call=0.0,
            )
        except (Killed, Interrupted):
            assert reached["step"] == end
    paths = workdir.Workdir(folder)
    with checkpoints.checkpoint_manager(paths.checkpoints, read_only=True) as manager:
        state = jax.tree.map(np.asarray, manager.restore(TOTAL))
    return {p.name: p.read_bytes() for p in [paths.metrics, *sorted(paths.samples.iterdir())]}, state


@pytest.fixture(scope="module")
def trained_before():
    return {}


@pytest.fixture
def in_memory(toy_config, toy_dataset, tmp_path, trained_before):
    if not trained_before:
        trained_before["run"] = train(toy_config, tmp_path / "memory", [(toy_dataset, TOTAL, "")])
    return trained_before["run"]


def assert_same(found, expected):
    assert found[0] == expected[0]
    jax.tree.map(np.testing.assert_array_equal, found[1], expected[1])


def test_a_stream_leaves_the_bytes_of_a_run_in_memory_also_when_killed_and_stopped(
    toy_config, toy_stream, tmp_path, in_memory
):
    parts = [(toy_stream, 4, "killed"), (toy_stream, 5, "told"), (toy_stream, 8, "killed"), (toy_stream, TOTAL, "")]
    assert_same(train(toy_config, tmp_path / "cut", parts), in_memory)


def test_a_run_changes_between_memory_and_stream_where_it_was_stopped(
    toy_config, toy_dataset, toy_stream, tmp_path, in_memory
):
    parts = [(toy_dataset, 2, "told"), (toy_stream, 7, "told"), (toy_dataset, TOTAL, "")]
    assert_same(train(toy_config, tmp_path / "run", parts), in_memory)


@pytest.mark.parametrize(("devices", "parallel"), [(2, "pmap"), pytest.param(4, "shard_map", marks=pytest.mark.slow)])
def test_several_devices_take_their_parts_of_a_stream_to_the_numbers_of_one_and_resume_to_the_bit(
    toy_config, toy_stream, tmp_path, in_memory, devices, parallel
):
    config = dataclasses.replace(toy_config, run=dataclasses.replace(toy_config.run, parallel=parallel))
    whole = train(config, tmp_path / "whole", [(toy_stream, TOTAL, "")], devices=devices)
    cut = [(toy_stream, 5, "killed"), (toy_stream, TOTAL, "")]
    assert_same(train(config, tmp_path / "cut", cut, devices=devices), whole)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    jax.tree.map(close, whole[1], in_memory[1])


@pytest.mark.parametrize("devices", [1, 4])
def test_a_device_holds_a_chunk_of_its_own_part_and_nothing_else(toy_config, toy_dataset, toy_stream, devices):
    schedule = Schedule(3, toy_config.run)
    share = 20 // devices
    with (
        feeding.feed(toy_dataset, jax.devices()[:1], schedule=schedule, step=0) as resident,
        feeding.feed(toy_stream, jax.devices()[:devices], schedule=schedule, step=0) as streamed,
    ):
        for step in range(TOTAL):
            whole, part = resident(step), streamed(step)
            assert (whole.stop, part.stop) == (3 * (step // 3 + 1), 2 * (step // 2 + 1))
            batch = np.asarray(whole.order)[20 * (step % 3) :][:20]
            for device, shard in enumerate(part.images.addressable_shards):
                assert shard.data.shape == (1, 2 * share, 6, 5, 1)
                found = np.asarray(shard.data)[0, np.asarray(part.order)[share * (step % 2) :][:share]]
                np.testing.assert_array_equal(found, toy_dataset.images[batch[device * share :][:share]])


def test_in_one_go_it_leaves_the_same_bytes_and_writes_the_wait_for_images_elsewhere(
    toy_config, toy_stream, in_memory, monkeypatch
):
    written = []
    log = loop.tracking.log
    monkeypatch.setattr(loop.tracking, "log", lambda *a, **k: (written.append(k["input_wait"]), log(*a, **k)))
    assert_same(train(toy_config, toy_config.run.workdir, [(toy_stream, TOTAL, "")]), in_memory)
    assert len(written) == 6
    assert all(wait > 0 for wait in written)
    events = b"".join(p.read_bytes() for p in workdir.Workdir(toy_config.run.workdir).tensorboard.iterdir())
    assert b"input_wait" in events
