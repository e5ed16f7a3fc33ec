import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import Classifier
from jaxgan.methods import Batch, augmentation, build
from jaxgan.nn import noise

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
SMALL = Classifier(width=2, learning_rate=0.02)
UNMOVED = jnp.full((4, augmentation.WORDS), 0x80000000, jnp.uint32)  # the word that uniform turns into 0


def a_batch(size=20):
    """White squares in the upper half are of class 3, in the lower half of class 7."""
    labels = np.where(np.arange(size) % 2, 3, 7)
    images = np.full((size, *SHAPE), -1.0, np.float32)
    for image, label in zip(images, labels, strict=True):
        top = 1 if label == 3 else 5
        image[top : top + 2, 3:5] = 1
    return Batch(jnp.asarray(images), jnp.asarray(labels, jnp.int32), jnp.arange(size))


def trained(config=SMALL, steps=25):
    method, batch = build(config, image_shape=SHAPE), a_batch()
    state, rows = method.init(KEY), []
    step = jax.jit(method.step)
    for i in range(steps):
        state, metrics = step(state, batch, jax.random.fold_in(KEY, i))
        rows.append(metrics)
    return method, state, rows


def test_an_untrained_classifier_is_at_the_entropy_of_ten_classes_and_a_trained_one_knows_the_classes():
    method, state, rows = trained()
    assert rows[0]["loss"] == pytest.approx(np.log(10), rel=0.2)
    assert rows[-1]["loss"] < rows[0]["loss"]
    found = method.evaluate(state, a_batch(), KEY)
    assert found["accuracy"] == 1
    assert found["loss"] < rows[-1]["loss"]  # of whole squares


def test_an_image_is_judged_the_same_whatever_else_is_in_the_batch():
    method, state, _ = trained(steps=5)
    whole, part = a_batch(), jax.tree.map(lambda x: x[:4], a_batch())
    alone = method.evaluate(state, part, KEY)["loss"]
    mean_of_both = method.evaluate(state, whole, KEY)["loss"]  # every pair of images is the same
    assert alone == pytest.approx(float(mean_of_both), rel=1e-5)


def test_the_exhibit_begins_with_the_images_whose_own_class_is_least_probable():
    method, state, _ = trained()
    batch = a_batch(40)
    wrong = batch._replace(labels=batch.labels.at[30].set(0))
    sheet = method.exhibits(state, wrong, KEY)["hardest"]
    np.testing.assert_array_equal(sheet.images[0], batch.images[30])


def test_rates_rise_to_their_peak_and_end_near_nothing():
    _, _, rows = trained(Classifier(width=2, learning_rate=0.02, decay_steps=25, augment=False))
    method, state, _ = trained(Classifier(width=2, learning_rate=0.02, decay_steps=25, augment=False))
    after, _ = jax.jit(method.step)(state, a_batch(), KEY)
    moved = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), state.network.params, after.network.params)
    assert max(jax.tree.leaves(moved)) < 1e-4
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_an_image_is_deformed_by_its_own_words_and_not_at_all_by_those_of_zero():
    images = jax.random.uniform(KEY, (4, 12, 10, 2), minval=-1)
    np.testing.assert_allclose(augmentation.deform(images, UNMOVED), images, atol=1e-5)
    bits = noise.words(KEY, jnp.arange(4), count=augmentation.WORDS)
    together = augmentation.deform(images, bits)
    np.testing.assert_allclose(augmentation.deform(images[2:3], bits[2:3])[0], together[2], atol=1e-5)
    assert all(np.abs(together[i] - images[i]).max() > 0.1 for i in range(4))


def test_a_shift_moves_an_image_and_fills_in_black():
    image = jnp.ones((1, 12, 12, 1))
    word = jnp.uint32(np.uint32(0xFFFFFFFF))  # uniform turns it into almost 1
    moved = augmentation.deform(image, UNMOVED[:1].at[0, 4].set(word))[0, :, :, 0]
    np.testing.assert_allclose(moved[-2:], -1, atol=1e-3)  # rows from beyond the edge
    np.testing.assert_allclose(moved[:9], 1, atol=1e-3)
