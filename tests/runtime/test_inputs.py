import jax
import numpy as np
import pytest

from jaxgan.data import Stream
from jaxgan.runtime import inputs
from jaxgan.runtime.schedule import Schedule


@pytest.mark.parametrize("devices", [1, 4])
def test_a_device_holds_a_chunk_of_its_own_part_and_nothing_else(toy_config, toy_dataset, devices, monkeypatch):
    monkeypatch.setattr(inputs, "STEPS_PER_CHUNK", 2)  # so that epochs of three steps end within
    read = lambda rows: (toy_dataset.images[rows], toy_dataset.labels[rows])
    stream = Stream("toy", toy_dataset.size, toy_dataset.image_shape, toy_dataset.class_names, read)
    schedule, share = Schedule(3, toy_config.run), 20 // devices
    with (
        inputs.open_inputs(toy_dataset, jax.devices()[:1], schedule=schedule, step=0) as resident,
        inputs.open_inputs(stream, jax.devices()[:devices], schedule=schedule, step=0) as streamed,
    ):
        for step in range(9):
            whole, part = resident(step), streamed(step)
            assert (whole.stop, part.stop) == (3 * (step // 3 + 1), 2 * (step // 2 + 1))
            batch = np.asarray(whole.order)[20 * (step % 3) :][:20]
            for device, shard in enumerate(part.images.addressable_shards):
                assert shard.data.shape == (1, 2 * share, 6, 5, 1)
                found = np.asarray(shard.data)[0, np.asarray(part.order)[share * (step % 2) :][:share]]
                np.testing.assert_array_equal(found, toy_dataset.images[batch[device * share :][:share]])
