"""What telling both networks a class does: to the images, to the logit, to a step, and to what is learned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.config import DCGAN
from jaxgan.methods import Batch, build, factory
from jaxgan.methods.factory import networks
from jaxgan.nn import noise

KEY = jax.random.key(0)
SHAPE, CLASSES = (6, 5, 1), 3
SMALL = DCGAN(width=2, latent_size=5, conditional=True)
PLAIN = dataclasses.replace(SMALL, generator_norm="none", discriminator_norm="none")  # each image judged alone


def a_batch(*labels):
    images = jax.random.uniform(jax.random.key(5), (len(labels), *SHAPE), minval=-1, maxval=1)
    return Batch(images, jnp.array(labels), jnp.arange(len(labels)))


def one_step(config, batch, **built):
    method = build(config, image_shape=SHAPE, classes=CLASSES, **built)
    before = method.init(KEY)
    return before, *jax.jit(method.step)(before, batch, KEY)


@pytest.fixture
def sgd(monkeypatch):
    monkeypatch.setattr(factory, "adam", lambda *args: optax.sgd(0.1))


def test_without_the_flag_the_number_of_classes_changes_nothing_and_nothing_is_asked_for():
    plain = dataclasses.replace(SMALL, conditional=False)
    states = [build(plain, image_shape=SHAPE, classes=classes).init(KEY) for classes in (CLASSES, 10)]
    jax.tree.map(np.testing.assert_array_equal, *states)
    assert "embedding" not in states[0].generator.params
    assert states[0].discriminator.params["output"]["kernel"].shape[-1] == 1
    method = build(plain, image_shape=SHAPE)
    assert (method.exhibits, method.sampled_labels) == (None, None)


def test_another_class_gives_another_image_of_the_same_latents():
    generator, _ = networks(SMALL, image_shape=SHAPE, classes=CLASSES)["generator"]
    z = jnp.tile(jax.random.normal(KEY, (1, 5)), (4, 1))
    images = generator.apply(generator.init(KEY, z), z, jnp.array([0, 1, 2, 1]))
    np.testing.assert_allclose(images[1], images[3], atol=1e-6)
    assert min(np.abs(images[i] - images[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-3


def test_the_logit_is_psi_and_the_product_of_features_with_the_class_s_embedding():
    discriminator, _ = networks(PLAIN, image_shape=SHAPE, classes=CLASSES)["discriminator"]
    images, labels = a_batch(2, 0, 1, 2).images, jnp.array([2, 0, 1, 2])
    variables = discriminator.init(KEY, images)
    _, recorded = discriminator.apply(variables, images, capture_intermediates=True)
    conv = recorded["intermediates"]["conv_0"]["__call__"][0]
    phi = np.where(conv > 0, conv, PLAIN.negative_slope * conv).reshape(4, -1)
    kernel = np.asarray(variables["params"]["output"]["kernel"]).reshape(-1, 1 + CLASSES)
    psi, embeddings = phi @ kernel[:, 0], kernel[:, 1:].T
    np.testing.assert_allclose(discriminator.apply(variables, images), psi, rtol=1e-4, atol=1e-6)
    expected = psi + np.sum(embeddings[labels] * phi, axis=1)
    np.testing.assert_allclose(discriminator.apply(variables, images, None, labels), expected, rtol=1e-4, atol=1e-6)
    none = jnp.zeros((4, 0), jnp.uint32)
    pair = discriminator.apply(variables, images, images[::-1], none, none, labels, method="judge_pair")
    np.testing.assert_allclose(pair[0], expected, rtol=1e-4, atol=1e-6)
    reversed_images = discriminator.apply(variables, images[::-1], None, labels)
    np.testing.assert_allclose(pair[1], reversed_images, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fields", [{}, {"loss": "relativistic", "r1_weight": 1.0, "r2_weight": 1.0}])
def test_a_step_moves_the_embeddings_of_the_classes_in_the_batch_alone(fields, sgd):
    before, after, _ = one_step(dataclasses.replace(PLAIN, **fields), a_batch(1, 1, 1, 1))

    def moved(network, layer):
        kernels = (np.asarray(getattr(state, network).params[layer]["kernel"]) for state in (before, after))
        return np.abs(np.subtract(*kernels))

    assert (moved("generator", "embedding").max(axis=1) > 0).tolist() == [False, True, False]
    assert (moved("discriminator", "output").max(axis=(0, 1, 2)) > 0).tolist() == [True, False, True, False]


def test_generated_images_are_of_the_classes_of_the_real_ones_in_both_updates_and_judged_as_such():
    before, after, metrics = one_step(PLAIN, a_batch(2, 1, 1, 2))
    labels = jnp.array([2, 1, 1, 2])
    (generator, _), (discriminator, _) = networks(PLAIN, image_shape=SHAPE, classes=CLASSES).values()
    words = noise.words(KEY, jnp.arange(4), count=10)

    def logits(judge, words):
        images = generator.apply({"params": before.generator.params}, noise.normal(words), labels)
        return discriminator.apply({"params": judge.params}, images, None, labels)

    fake_loss = jnp.mean(jax.nn.softplus(logits(before.discriminator, words[:, :5])))
    generator_loss = jnp.mean(jax.nn.softplus(-logits(after.discriminator, words[:, 5:])))
    assert metrics["discriminator_loss_fake"] == pytest.approx(float(fake_loss), rel=1e-5)
    assert metrics["generator_loss"] == pytest.approx(float(generator_loss), rel=1e-5)


def test_both_losses_and_every_penalty_depend_on_the_labels(sgd):
    config = dataclasses.replace(SMALL, r1_weight=1.0, r2_weight=1.0, dragan_weight=1.0, discriminator_norm="none")
    (_, _, some), (_, _, others) = (one_step(config, a_batch(*labels)) for labels in ((0, 1, 2, 0), (1, 2, 0, 1)))
    assert {name for name in some if some[name] != others[name]} == set(some)
    assert {name for name in some if name.endswith("_penalty")} == {"r1_penalty", "r2_penalty", "dragan_penalty"}


def test_a_batch_in_parts_has_the_step_of_a_whole_one(sgd):
    batch = a_batch(0, 2, 1, 1)
    whole, parts = (one_step(PLAIN, batch, accumulate=accumulate)[1] for accumulate in (1, 2))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole, parts)


def test_samples_and_their_averaged_generator_follow_the_classes_in_turn():
    config = dataclasses.replace(PLAIN, ema_decay=0.5)
    method = build(config, image_shape=SHAPE, classes=CLASSES)
    _, state, _ = one_step(config, a_batch(0, 1, 2, 0))
    assert method.sampled_labels(5).tolist() == [0, 1, 2, 0, 1]
    generator, _ = networks(config, image_shape=SHAPE, classes=CLASSES)["generator"]
    z = noise.normal(noise.words(KEY, jnp.arange(5), count=5))
    expected = generator.apply({"params": state.averaged}, z, jnp.array([0, 1, 2, 0, 1]))
    np.testing.assert_allclose(method.sample(state, KEY, 5), expected, atol=1e-6)
    np.testing.assert_allclose(generator.apply({"params": state.averaged}, z), expected, atol=1e-6)


def test_the_exhibit_has_a_row_for_each_class_and_a_column_for_each_latent():
    method = build(SMALL, image_shape=SHAPE, classes=CLASSES)
    state = method.init(KEY)
    rows = method.exhibits(state, a_batch(0), KEY)["classes"].rows
    assert list(rows) == ["0", "1", "2"]
    samples = method.sample(state, KEY, 10)
    for label, images in rows.items():
        assert images.shape == (10, *SHAPE)
        of_this_class = slice(int(label), None, CLASSES)
        np.testing.assert_allclose(images[of_this_class], samples[of_this_class], atol=1e-6)


def test_black_and_white_are_drawn_as_asked_for():
    config = dataclasses.replace(PLAIN, generator_learning_rate=5e-3, discriminator_learning_rate=5e-3, beta1=0.5)
    config = dataclasses.replace(config, width=4, loss="relativistic", r1_weight=0.1, r2_weight=0.1)
    method = build(config, image_shape=SHAPE, classes=2)
    index = jnp.arange(16)
    batch = Batch(jnp.where(index % 2, 1.0, -1.0)[:, None, None, None] * jnp.ones((16, *SHAPE)), index % 2, index)

    def body(state, i):
        return method.step(state, batch, jax.random.fold_in(KEY, i))

    state, _ = jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(100)))(method.init(KEY))
    brightness = np.mean(method.sample(state, KEY, 20), axis=(1, 2, 3))
    assert brightness[0::2].max() < -0.5
    assert brightness[1::2].min() > 0.5
