import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.methods import Batch, build, classifier
from jaxgan.methods.classifier import Classifier
from jaxgan.nn import noise
from tests.methods.steps import a_batch as noise_images
from tests.methods.steps import first_update
from tests.random_states import fresh_state

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
SMALL = Classifier(width=2, learning_rate=0.02)
UNMOVED = jnp.full((4, classifier.DEFORM_BITS), 0x80000000, jnp.uint32)  # the word that uniform turns into 0


def a_batch(size=20):
    """White squares in the upper half are of class 3, in the lower half of class 7."""
    labels = np.where(np.arange(size) % 2, 3, 7)
    images = np.full((size, *SHAPE), -1.0, np.float32)
    for image, label in zip(images, labels, strict=True):
        top = 1 if label == 3 else 5
        image[top : top + 2, 3:5] = 1
    return Batch(jnp.asarray(images), jnp.asarray(labels, jnp.int32), jnp.arange(size))


def train(config, *, steps=25):
    """The method, its state and its jitted step after some steps, and their metrics."""
    method = build(config, image_shape=SHAPE)
    state, step, rows = jax.jit(method.init)(KEY), jax.jit(method.step), []
    for i in range(steps):
        state, metrics = step(state, a_batch(), jax.random.fold_in(KEY, i))
        rows.append(metrics)
    return method, state, step, rows


@pytest.mark.exhaustive
@pytest.mark.parametrize("network", ["convolutional", "dense"])
def test_training_takes_the_loss_from_ln_10_to_known_classes(network):
    method, state, _, rows = train(dataclasses.replace(SMALL, network=network))
    assert rows[0]["loss"] == pytest.approx(np.log(10), rel=0.2)
    assert rows[-1]["loss"] < rows[0]["loss"]
    found = jax.jit(method.evaluate)(state, a_batch(), KEY)
    assert found["accuracy"] == 1
    assert found["loss"] < rows[-1]["loss"]  # of whole squares


def test_evaluation_of_an_image_does_not_depend_on_the_batch():
    method = build(SMALL, image_shape=SHAPE)
    state, evaluate = fresh_state(method), jax.jit(method.evaluate)
    parts = (slice(1), slice(1, 2), slice(2))
    first, second, both = (evaluate(state, Batch(*(x[part] for x in a_batch())), KEY)["loss"] for part in parts)
    assert both == pytest.approx(float(first + second) / 2, rel=1e-5)


def test_the_figure_begins_with_the_least_probable_label():
    method, batch = build(SMALL, image_shape=SHAPE), noise_images(labels=[1] * 30 + [0] + [1] * 9, shape=SHAPE)
    state = fresh_state(method)
    state.network.params["output"]["bias"] = -9.0 * (jnp.arange(10) == 0)
    images = jax.jit(lambda state: method.visualize(state, batch, KEY)["hardest"].images)(state)
    np.testing.assert_array_equal(images[0], batch.images[30])


@pytest.mark.slow
def test_the_learning_rate_peaks_at_that_of_the_config_and_ends_near_zero():
    config = Classifier(width=2, learning_rate=0.125, augment=False)
    _, state, step, _ = train(config, steps=0)
    assert first_update(state.network, step(state, a_batch(), KEY)[0].network) == pytest.approx(0.125, rel=1e-3)
    _, state, step, rows = train(Classifier(width=2, learning_rate=0.02, decay_steps=25, augment=False))
    assert first_update(state.network, step(state, a_batch(), KEY)[0].network) < 1e-4
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_an_image_is_deformed_by_its_own_random_bits_alone():
    images = jax.random.uniform(KEY, (4, 12, 10, 2), minval=-1)
    deform = jax.jit(classifier.deform)
    np.testing.assert_allclose(deform(images, UNMOVED), images, atol=1e-5)
    bits = noise.random_bits(KEY, jnp.arange(4), count=classifier.DEFORM_BITS)
    together = deform(images, bits)
    np.testing.assert_allclose(deform(images[2:3], bits[2:3])[0], together[2], atol=1e-5)
    assert all(np.abs(together[i] - images[i]).max() > 0.1 for i in range(4))


def test_a_shift_moves_an_image_and_fills_in_black():
    image = jnp.ones((1, 12, 12, 1))
    word = jnp.uint32(np.uint32(0xFFFFFFFF))  # uniform turns it into almost 1
    moved = jax.jit(classifier.deform)(image, UNMOVED[:1].at[0, 4].set(word))[0, :, :, 0]
    np.testing.assert_allclose(moved[-2:], -1, atol=1e-3)  # rows from beyond the edge
    np.testing.assert_allclose(moved[:9], 1, atol=1e-3)
