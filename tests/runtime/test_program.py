import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax import lax

from jaxgan.methods import Batch, Method
from jaxgan.nn import noise
from jaxgan.runtime.devices import mapped_axis
from jaxgan.runtime.program import (
    EVALUATE_STREAM,
    Inputs,
    compile_program,
    held_out_means,
    stream_key,
    to_bytes,
    to_unit_range,
)


def evaluate(state, batch, key):
    """The mean brightness of images, their mean label, and the mean of a number drawn for each."""
    drawn = noise.uniform(noise.random_bits(key, batch.index, count=1))
    return {"brightness": jnp.mean(batch.images), "drawn": jnp.mean(drawn), "label": jnp.mean(batch.labels)}


@pytest.mark.parametrize("count", [7, 1000, 2345])
def test_held_out_means_are_over_all_images_in_however_many_parts(count):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (count, 6, 5, 1), dtype=np.uint8)
    labels = rng.integers(0, 10, count).astype(np.int32)
    method = Method(init=None, step=None, sample=None, evaluate=evaluate)
    found = jax.jit(held_out_means(method))(None, images, labels, np.uint32(0))
    assert found["brightness"] == pytest.approx(images.mean() / 127.5 - 1, abs=1e-5)
    assert found["label"] == pytest.approx(labels.mean(), rel=1e-5)
    whole = evaluate(None, Batch(to_unit_range(images), labels, jnp.arange(count)), stream_key(0, EVALUATE_STREAM))
    assert found["drawn"] == pytest.approx(float(whole["drawn"]), abs=1e-6)


class Count(struct.PyTreeNode):
    """A state without a network."""

    step: jax.Array


@pytest.mark.parametrize(("count", "parallel"), [(1, "auto"), (2, "pmap"), (2, "shard_map")])
def test_a_step_is_traced_once_for_the_start_and_for_training(count, parallel):
    devices, traces = jax.devices()[:count], []

    def step(state, batch, key):
        traces.append(batch.images.shape)
        brightness = jnp.mean(batch.images)
        return state.replace(step=state.step + 1), {
            "brightness": lax.pmean(brightness, mapped_axis(devices)) if mapped_axis(devices) else brightness
        }

    method = Method(init=lambda key: Count(jnp.zeros((), jnp.int32)), step=step, sample=None)
    program = compile_program(method, devices, image_shape=(2, 2, 1), batch_size=4, parallel=parallel)
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 2, 1), dtype=np.uint8)
    inputs = Inputs(images, np.zeros(8, np.int32), np.arange(8), np.uint32(0), np.int32(2))
    carry = program.train_steps(program.init(np.uint32(0)), inputs)
    assert traces == [(4 // count, 2, 2, 1)]
    assert carry.metric_sums == {"brightness": pytest.approx(2 * (images.mean() / 127.5 - 1), abs=1e-5)}


def test_bytes_and_the_range_of_tanh_are_inverse():
    levels = np.arange(256, dtype=np.uint8)
    scaled = to_unit_range(levels)
    assert (float(scaled[0]), float(scaled[-1])) == (-1, 1)
    np.testing.assert_array_equal(to_bytes(scaled), levels)
    np.testing.assert_array_equal(to_bytes(jnp.array([-1.2, 1.2])), [0, 255])
