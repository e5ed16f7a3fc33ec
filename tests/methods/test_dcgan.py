import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan.errors import UserError
from jaxgan.methods import Batch, build
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.passes import classification_loss
from jaxgan.nn import noise
from tests.methods.steps import (
    KEY,
    SHAPE,
    a_batch,
    assert_close,
    changed,
    compiled_step,
    first_update,
    initial,
    one_step,
)
from tests.programs import stepper

CLASSES = 3
SMALL = DCGAN(width=2, latent_size=5)
CONDITIONAL = dataclasses.replace(SMALL, conditional=True)
ALONE = dataclasses.replace(CONDITIONAL, generator_norm="none", discriminator_norm="none")  # no statistics of a batch
R3GAN = {"loss": "relativistic", "r1_weight": 1.0, "r2_weight": 1.0}
SGD = optax.sgd(0.1)


def networks(config, classes=CLASSES):
    (generator, _), (discriminator, _) = build(config, image_shape=SHAPE, classes=classes).networks.values()
    return generator, discriminator


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"loss": "minimax"}, marks=pytest.mark.exhaustive),
        pytest.param({"loss": "least_squares"}, marks=pytest.mark.exhaustive),
        pytest.param({"loss": "hinge", "spectral_norm": True}, marks=pytest.mark.slow),
        R3GAN,
        pytest.param({"dragan_weight": 10.0}, marks=pytest.mark.exhaustive),
        {"generator_norm": "none", "discriminator_norm": "instance", "bias": True, "initialization": "dcgan"},
    ],
)
def test_every_option_trains_both_networks_and_sums_its_terms(fields):
    before, after, metrics = one_step(dataclasses.replace(SMALL, **fields))
    assert np.all(np.isfinite(list(metrics.values())))
    terms = [v for name, v in metrics.items() if name.startswith("discriminator_loss_") or name.endswith("_penalty")]
    assert metrics["discriminator_loss"] == pytest.approx(float(sum(terms)), rel=1e-5)
    assert {name for name in metrics if name.endswith("_penalty")} == {
        f"{name.removesuffix('_weight')}_penalty" for name in fields if name.endswith("_weight")
    }
    for name in ("generator", "discriminator"):
        assert all(changed(getattr(before, name).params, getattr(after, name).params)), name


@pytest.mark.parametrize("devices", [pytest.param(1, marks=pytest.mark.exhaustive), 2])
def test_lazy_penalties_take_steps_with_64_bit_numbers_enabled(devices):
    config = dataclasses.replace(SMALL, discriminator_norm="none", generator_norm="none", penalty_every=4, **R3GAN)
    with jax.enable_x64(True):
        program = stepper(config, devices=devices, image_shape=(4, 4, 1), batch_size=4, steps=5, parallel="shard_map")
        rows, _ = program.rows(program.start(), steps=5)
    assert np.all(np.isfinite([list(row.values()) for row in rows]))
    assert [row["r1_penalty"] > 0 for row in rows] == [True, False, False, False, True]


def test_a_relativistic_generator_is_compared_with_real_images():
    config = dataclasses.replace(ALONE, conditional=False, loss="relativistic", discriminator_learning_rate=0.0)
    step, state = compiled_step(config), initial(config)
    darker = a_batch()._replace(images=a_batch().images - 0.5)
    found = [float(step(state, batch, KEY)[1]["generator_loss"]) for batch in (a_batch(), darker)]
    assert found[0] != found[1]


def test_both_learning_rates_fall_along_a_cosine_to_zero():
    config = dataclasses.replace(SMALL, decay_steps=1, discriminator_norm="none", generator_norm="none")
    before, first, _ = one_step(config)
    assert first_update(before.generator, first.generator) == pytest.approx(3e-4, rel=1e-3)
    assert first_update(before.discriminator, first.discriminator) == pytest.approx(2e-4, rel=1e-3)
    _, second, _ = one_step(config, first)
    assert first_update(first.generator, second.generator) == 0
    assert first_update(first.discriminator, second.discriminator) == 0


def test_truncation_changes_samples_and_not_training():
    config = dataclasses.replace(SMALL, generator_norm="none", latent_size=8)
    plain, closer, middle = (
        build(dataclasses.replace(config, truncation=factor), image_shape=SHAPE) for factor in (1.0, 0.5, 0.0)
    )
    state = initial(config)
    programs = [jax.jit(method.step).lower(state, a_batch(), KEY).as_text() for method in (plain, closer)]
    assert programs[0] == programs[1]
    drawn = (jax.jit(method.sample, static_argnums=2)(state, KEY, 20) for method in (plain, closer, middle))
    images = [np.asarray(image) for image in drawn]
    assert images[0].std(axis=0).mean() > images[1].std(axis=0).mean() > images[2].std(axis=0).mean() == 0


def test_unconditional_networks_do_not_depend_on_the_number_of_classes():
    method, other = (build(SMALL, image_shape=SHAPE, classes=classes) for classes in (1, 10))
    state = jax.eval_shape(method.init, KEY)
    assert state == jax.eval_shape(other.init, KEY)
    assert "embedding" not in state.generator.params
    assert state.discriminator.params["output"]["kernel"].shape[-1] == 1
    assert (method.visualize, method.classes) == (None, 0)


def test_a_logit_is_psi_plus_the_features_projected_on_the_embedding():
    _, discriminator = networks(ALONE)
    images, labels = a_batch(4).images, jnp.array([2, 0, 1, 2])
    variables = jax.jit(discriminator.init)(KEY, images)
    apply = jax.jit(discriminator.apply, static_argnames=("method", "capture_intermediates"))
    alone, recorded = apply(variables, images, capture_intermediates=True)
    conv = recorded["intermediates"]["conv_0"]["__call__"][0]
    phi = np.where(conv > 0, conv, ALONE.negative_slope * conv).reshape(4, -1)
    kernel = np.asarray(variables["params"]["output"]["kernel"]).reshape(-1, 1 + CLASSES)
    psi, embeddings = phi @ kernel[:, 0], kernel[:, 1:].T
    assert_close(alone, psi)
    expected = psi + np.sum(embeddings[labels] * phi, axis=1)
    assert_close(apply(variables, images, labels), expected)
    pair = apply(variables, images, images[::-1], labels, method="logits_of_pair")
    assert_close(pair, (expected, apply(variables, images[::-1], labels)))


@pytest.mark.parametrize("fields", [{}, R3GAN])
def test_a_step_moves_the_embeddings_of_the_classes_in_the_batch_alone(fields):
    config = dataclasses.replace(ALONE, **fields)
    before, after, _ = one_step(config, batch=a_batch(labels=[1, 1, 1, 1]), classes=CLASSES, optimizer=SGD)

    def moved(network, layer):
        kernels = (np.asarray(getattr(state, network).params[layer]["kernel"]) for state in (before, after))
        return np.abs(np.subtract(*kernels))

    assert (moved("generator", "embedding").max(axis=1) > 0).tolist() == [False, True, False]
    assert (moved("discriminator", "output").max(axis=(0, 1, 2)) > 0).tolist() == [True, False, True, False]


def test_fake_images_have_the_classes_of_the_real_ones_in_both_updates():
    labels = jnp.array([2, 1, 1, 2])
    before, after, metrics = one_step(ALONE, batch=a_batch(labels=labels), classes=CLASSES, optimizer=SGD)
    generator, discriminator = networks(ALONE)
    bits = noise.random_bits(KEY, jnp.arange(4), count=10)

    @jax.jit
    def logits(network, bits):
        images = generator.apply({"params": before.generator.params}, noise.normal(bits), labels)
        return discriminator.apply({"params": network.params}, images, labels)

    fake_loss = jnp.mean(jax.nn.softplus(logits(before.discriminator, bits[:, :5])))
    generator_loss = jnp.mean(jax.nn.softplus(-logits(after.discriminator, bits[:, 5:])))
    assert metrics["discriminator_loss_fake"] == pytest.approx(float(fake_loss), rel=1e-5)
    assert metrics["generator_loss"] == pytest.approx(float(generator_loss), rel=1e-5)


def test_both_losses_and_every_penalty_depend_on_the_labels():
    weights = dict.fromkeys(("r1_weight", "r2_weight", "dragan_weight", "classification_weight"), 1.0)
    config = dataclasses.replace(CONDITIONAL, discriminator_norm="none", **weights)
    how = {"classes": CLASSES, "optimizer": SGD}
    state, step = initial(config, **how), compiled_step(config, **how)
    some, others = (step(state, a_batch(labels=labels), KEY)[1] for labels in ([0, 1, 2, 0], [1, 2, 0, 1]))
    assert {name for name in some if some[name] != others[name]} == set(some)
    assert {name for name in some if name.endswith("_penalty")} == {"r1_penalty", "r2_penalty", "dragan_penalty"}


@pytest.mark.parametrize("norm", ["none", pytest.param("batch", marks=pytest.mark.slow)])
def test_the_classification_term_is_the_cross_entropy_over_all_classes(norm):
    plain = dataclasses.replace(CONDITIONAL, discriminator_norm=norm, generator_norm="none")
    weighted = dataclasses.replace(plain, classification_weight=0.5)
    batch = a_batch(labels=[0, 2, 1, 1])
    how = {"batch": batch, "classes": CLASSES, "optimizer": optax.sgd(1.0)}
    before, without, _ = one_step(plain, **how)
    _, after, metrics = one_step(weighted, **how)
    _, discriminator = networks(plain)

    def term(params):
        variables = {"params": params, "batch_stats": before.discriminator.batch_stats}
        every_class = jnp.stack(
            [
                discriminator.apply(variables, batch.images, jnp.full(4, c), train=True, mutable=["batch_stats"])[0]
                for c in range(CLASSES)
            ]
        )
        posterior = jax.nn.softmax(every_class, axis=0)[batch.labels, jnp.arange(4)]
        return -0.5 * jnp.mean(jnp.log(posterior))

    value, gradient = jax.jit(jax.value_and_grad(term))(before.discriminator.params)
    assert metrics["discriminator_loss_classification"] == pytest.approx(float(value), rel=1e-5)
    difference = jax.tree.map(jnp.subtract, without.discriminator.params, after.discriminator.params)
    assert_close(difference, gradient, atol=1e-6)


def test_a_classification_weight_needs_classes_and_projections():
    with pytest.raises(UserError, match=r"--classification-weight: 0\.5 needs --conditional"):
        build(dataclasses.replace(SMALL, classification_weight=0.5), image_shape=SHAPE)
    with pytest.raises(UserError, match="this discriminator sows no projections"):
        classification_loss({"batch_stats": {}}, (jnp.zeros(4, int),))


def test_a_batch_in_parts_takes_the_step_of_a_whole_one():
    how = {"batch": a_batch(labels=[0, 2, 1, 1]), "classes": CLASSES, "optimizer": SGD}
    assert_close(one_step(ALONE, **how)[1], one_step(ALONE, accumulate=2, **how)[1])


def test_conditional_samples_take_the_classes_in_turn():
    config = dataclasses.replace(ALONE, ema_decay=0.5)
    method, state = build(config, image_shape=SHAPE, classes=CLASSES), initial(config, classes=CLASSES)
    state = state.replace(averaged=jax.tree.map(lambda p: 1.5 * p, state.averaged))
    assert method.classes == CLASSES
    generator, _ = networks(config)
    z = noise.normal(noise.random_bits(KEY, jnp.arange(5), count=5))
    apply, params = jax.jit(generator.apply), {"params": state.averaged}
    expected = apply(params, z, jnp.array([0, 1, 2, 0, 1]))
    np.testing.assert_allclose(jax.jit(method.sample, static_argnums=2)(state, KEY, 5), expected, atol=1e-6)
    np.testing.assert_allclose(apply(params, z), expected, atol=1e-6)


def test_the_figure_of_classes_has_a_column_for_each_latent():
    method, state = build(CONDITIONAL, image_shape=SHAPE, classes=CLASSES), initial(CONDITIONAL, classes=CLASSES)
    rows = jax.jit(lambda state: method.visualize(state, a_batch(1), KEY)["classes"].rows)(state)
    assert sorted(rows) == ["0", "1", "2"]
    samples = jax.jit(method.sample, static_argnums=2)(state, KEY, 10)
    for label, images in rows.items():
        assert images.shape == (10, *SHAPE)
        of_this_class = slice(int(label), None, CLASSES)
        np.testing.assert_allclose(images[of_this_class], samples[of_this_class], atol=1e-6)


@pytest.mark.exhaustive
def test_a_conditional_gan_learns_to_draw_the_class_asked_for():
    config = dataclasses.replace(ALONE, generator_learning_rate=5e-3, discriminator_learning_rate=5e-3, beta1=0.5)
    config = dataclasses.replace(config, width=4, loss="relativistic", r1_weight=0.1, r2_weight=0.1)
    method = build(config, image_shape=SHAPE, classes=2)
    index = jnp.arange(16)
    batch = Batch(jnp.where(index % 2, 1.0, -1.0)[:, None, None, None] * jnp.ones((16, *SHAPE)), index % 2, index)

    def body(state, i):
        return method.step(state, batch, jax.random.fold_in(KEY, i))

    state, _ = jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(100)))(jax.jit(method.init)(KEY))
    brightness = np.mean(jax.jit(method.sample, static_argnums=2)(state, KEY, 20), axis=(1, 2, 3))
    assert brightness[0::2].max() < -0.5
    assert brightness[1::2].min() > 0.5
