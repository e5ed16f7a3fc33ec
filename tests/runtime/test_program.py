import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods import Batch, Method
from jaxgan.nn import noise
from jaxgan.runtime.program import EVALUATE_STREAM, held_out_means, stream_key, to_bytes, to_unit_range


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


def test_bytes_and_the_range_of_tanh_are_inverse():
    levels = np.arange(256, dtype=np.uint8)
    scaled = to_unit_range(levels)
    assert (float(scaled[0]), float(scaled[-1])) == (-1, 1)
    np.testing.assert_array_equal(to_bytes(scaled), levels)
    np.testing.assert_array_equal(to_bytes(jnp.array([-1.2, 1.2])), [0, 255])
