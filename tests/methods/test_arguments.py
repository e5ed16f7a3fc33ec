"""What a caller hands to a method's functions: batches, labels, counts, keys, and the arguments of ``build``."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.methods import build
from jaxgan.methods.autoencoder import Autoencoder
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vanilla_gan import VanillaGAN
from tests.methods.steps import KEY, SHAPE, a_batch
from tests.random_states import fresh_state

CONFIG = VanillaGAN(hidden_units=4, latent_size=3)
IMAGES = np.zeros((8, *SHAPE), np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": IMAGES.astype(np.uint8)}, "images are uint8 of shape (8, 6, 5, 1), they must be floats in [-1, 1]"),
        ({"images": np.moveaxis(IMAGES, -1, 1)}, "float32 of shape (8, 1, 6, 5), they must be .* shape (n, 6, 5, 1)"),
        ({"images": IMAGES[:0]}, "images are float32 of shape (0, 6, 5, 1)"),
        ({"labels": np.eye(10)[:8]}, "labels must be 8 integers"),
        ({"labels": None}, "labels must be 8 integers"),
        ({"index": np.arange(4)}, "index must be 8 integers"),
    ],
)
def test_a_batch_of_other_shapes_or_dtypes_is_refused(changes, message):
    method = build(Autoencoder(hidden_units=4), image_shape=SHAPE)
    state, batch = jax.eval_shape(method.init, KEY), a_batch()._replace(**changes)
    for function in (method.step, method.evaluate):
        with pytest.raises(UserError, match=re.escape(message).replace(r"\.\*", ".*")):
            jax.eval_shape(function, state, batch, KEY)


def test_a_tuple_is_no_batch():
    with pytest.raises(UserError, match="tuple is not allowed, it must be Batch"):
        build(CONFIG, image_shape=SHAPE).step(None, tuple(a_batch()), KEY)


def test_accumulation_must_divide_the_images():
    method = build(CONFIG, image_shape=SHAPE, accumulate=3)
    with pytest.raises(UserError, match="accumulate=: 3 is not allowed, it must divide 8 images"):
        jax.eval_shape(method.step, jax.eval_shape(method.init, KEY), a_batch(), KEY)


def test_a_step_for_several_devices_needs_their_axis():
    method = build(CONFIG, image_shape=SHAPE, axis_name="data")
    with pytest.raises(UserError, match="axis_name=: 'data' is not a mapped axis here"):
        jax.eval_shape(method.step, jax.eval_shape(method.init, KEY), a_batch(), KEY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (6.0, 5, 1)}, "image_shape=: .* must be height, width and channels"),
        ({"image_shape": 6}, "image_shape=: 6 is not allowed"),
        ({"classes": "10"}, "classes=: '10' is not allowed, it must be of type int"),
        ({"accumulate": 0}, "accumulate=: 0 is not allowed"),
        ({"optimizer": "adam"}, "optimizer=: 'adam' is not allowed, it must be an optax optimizer"),
    ],
)
def test_arguments_of_build_are_checked(arguments, message):
    with pytest.raises(UserError, match=message):
        build(CONFIG, **{"image_shape": SHAPE, **arguments})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3)[:2], r"float32 of shape \(2, 3\) is not allowed, give 2 integers"),
        ([0, 1, 2], "give 2 integers"),
        ([0, 3], "3 is not allowed, the classes are 0 to 2"),
        ([0, -1], "-1 is not allowed"),
    ],
)
def test_labels_of_samples_are_checked(labels, message):
    method = build(DCGAN(width=2, latent_size=3, conditional=True), image_shape=SHAPE, classes=3)
    with pytest.raises(UserError, match=f"labels: .*{message}"):
        method.sample(fresh_state(method), KEY, 2, labels)


def test_an_unconditional_method_takes_no_labels_and_no_fraction_of_a_sample():
    method = build(CONFIG, image_shape=SHAPE)
    with pytest.raises(UserError, match="this method is unconditional"):
        method.sample(fresh_state(method), KEY, 2, np.arange(2))
    with pytest.raises(UserError, match=r"count: 2.5 is not allowed"):
        method.sample(fresh_state(method), KEY, 2.5)


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_keys_of_any_kind_draw_rows_that_depend_on_their_index(kind):
    method, key = build(CONFIG, image_shape=SHAPE), jax.random.key(0, impl=kind)
    state = fresh_state(method)
    np.testing.assert_allclose(method.sample(state, key, 5)[:2], method.sample(state, key, 2), atol=1e-6)
    assert jnp.isfinite(method.step(state, a_batch(), key)[1]["discriminator_loss"])
