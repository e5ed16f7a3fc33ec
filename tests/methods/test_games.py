"""What convolutional GANs and Wasserstein GANs add to a step: statistics, critic steps, constraints, pairs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan.config import DCGAN, WGAN
from jaxgan.methods import Batch, build, factory, gan, losses, penalties
from jaxgan.methods.factory import networks
from jaxgan.nn import fully_connected, noise

KEY = jax.random.key(0)
SHAPE = (6, 5, 1)
SMALL = DCGAN(width=2, latent_size=5)


def a_batch(size=8):
    images = jax.random.uniform(jax.random.key(5), (size, *SHAPE), minval=-1, maxval=1)
    return Batch(images, jnp.zeros(size, jnp.int32), jnp.arange(size))


def one_step(config, state=None):
    method = build(config, image_shape=SHAPE)
    state = state or jax.jit(method.init)(KEY)
    return state, *jax.jit(method.step)(state, a_batch(), KEY)


def changed(before, after):
    return [bool(np.any(a != b)) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)]


def test_each_network_s_running_statistics_follow_the_passes_of_its_own_update_alone():
    before, after, _ = one_step(SMALL)
    (generator, _), (discriminator, _) = networks(SMALL, image_shape=SHAPE).values()
    bits = noise.words(KEY, jnp.arange(8), count=10)
    first, second = noise.normal(bits[:, :5]), noise.normal(bits[:, 5:])

    def passed(module, network, *inputs):
        variables = {"params": network.params, "batch_stats": network.batch_stats}
        return module.apply(variables, *inputs, mutable=["batch_stats"])

    draw = lambda z: generator.apply(
        {"params": before.generator.params, "batch_stats": before.generator.batch_stats}, z, train=True
    )
    _, expected = generator.apply(
        {"params": before.generator.params, "batch_stats": before.generator.batch_stats},
        second,
        train=True,
        mutable=["batch_stats"],
    )
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, after.generator.batch_stats, expected["batch_stats"])
    none = jnp.zeros((8, 0), jnp.uint32)
    _, once = passed(discriminator, before.discriminator, a_batch().images, none)
    network = before.discriminator.replace(batch_stats=once["batch_stats"])
    _, twice = passed(discriminator, network, draw(first), none)
    jax.tree.map(close, after.discriminator.batch_stats, twice["batch_stats"])


def test_sampling_uses_the_running_statistics_and_draws_each_image_alone():
    method = build(SMALL, image_shape=SHAPE)
    _, state, _ = one_step(SMALL)
    np.testing.assert_allclose(method.sample(state, KEY, 3), method.sample(state, KEY, 7)[:3], rtol=1e-4, atol=1e-6)
    other = state.replace(generator=state.generator.replace(batch_stats=method.init(KEY).generator.batch_stats))
    assert np.abs(method.sample(state, KEY, 3) - method.sample(other, KEY, 3)).max() > 1e-3


@pytest.mark.parametrize(
    "fields",
    [
        {"loss": "minimax"},
        {"loss": "least_squares"},
        {"loss": "hinge", "spectral_norm": True},
        {"loss": "relativistic", "r1_weight": 1.0, "r2_weight": 1.0},
        {"dragan_weight": 10.0},
        {"generator_norm": "none", "discriminator_norm": "instance", "bias": True, "initialization": "dcgan"},
    ],
)
def test_every_option_trains_both_networks_and_reports_the_sum_of_its_terms(fields):
    before, after, metrics = one_step(dataclasses.replace(SMALL, **fields))
    assert np.all(np.isfinite(list(metrics.values())))
    terms = [v for name, v in metrics.items() if name.startswith("discriminator_loss_") or name.endswith("_penalty")]
    assert metrics["discriminator_loss"] == pytest.approx(float(sum(terms)), rel=1e-5)
    assert {name for name in metrics if name.endswith("_penalty")} == {
        f"{name.removesuffix('_weight')}_penalty" for name in fields if name.endswith("_weight")
    }
    for name in ("generator", "discriminator"):
        assert all(changed(getattr(before, name).params, getattr(after, name).params)), name


def test_a_relativistic_generator_is_held_against_real_images():
    config = dataclasses.replace(SMALL, loss="relativistic", generator_norm="none", discriminator_norm="none")
    method = build(config, image_shape=SHAPE)
    state = jax.jit(method.init)(KEY)
    darker = a_batch()._replace(images=a_batch().images - 0.5)
    step = jax.jit(build(dataclasses.replace(config, discriminator_learning_rate=0.0), image_shape=SHAPE).step)
    losses_ = [float(step(state, batch, KEY)[1]["generator_loss"]) for batch in (a_batch(), darker)]
    assert losses_[0] != losses_[1]


def test_the_generator_is_updated_on_every_fifth_critic_step_only():
    config = WGAN(width=2, latent_size=5, ema_decay=0.5)
    method = build(config, image_shape=SHAPE)
    state, step = jax.jit(method.init)(KEY), jax.jit(method.step)
    moved = []
    for i in range(10):
        before = state
        state, _ = step(state, a_batch(), jax.random.fold_in(KEY, i))
        moved.append(all(changed(before.generator.params, state.generator.params)))
        assert all(changed(before.discriminator.params, state.discriminator.params)), i
        assert any(changed(before.averaged, state.averaged)) == moved[-1]
        assert int(state.generator.opt_state[0].count) == (i + 1) // 5
    assert moved == [False] * 4 + [True] + [False] * 4 + [True]


def test_each_critic_step_has_latents_of_its_own():
    method = build(WGAN(width=2, latent_size=5, learning_rate=0.0), image_shape=SHAPE)
    state, step = jax.jit(method.init)(KEY), jax.jit(method.step)
    estimates = set()
    for i in range(5):  # nothing learns and the images stay the same, so only latents can make a difference
        state, metrics = step(state, a_batch(), jax.random.fold_in(KEY, i))
        estimates.add(float(metrics["wasserstein_estimate"]))
    assert len(estimates) == 5


def test_a_critic_has_no_sigmoid_and_no_batch_statistics():
    state = jax.jit(build(WGAN(width=2), image_shape=SHAPE).init)(KEY)
    assert state.discriminator.batch_stats == {}
    critic, _ = networks(WGAN(width=2), image_shape=SHAPE)["discriminator"]
    large = jax.tree.map(lambda p: 100 * p, state.discriminator.params)
    assert np.abs(critic.apply({"params": large}, a_batch().images)).max() > 10


def test_clipping_bounds_every_weight_of_the_critic_and_none_of_the_generator():
    _, after, metrics = one_step(WGAN(constraint="clip", width=2, clip=0.01, critic_steps=1))
    assert max(float(np.abs(p).max()) for p in jax.tree.leaves(after.discriminator.params)) <= 0.01 + 1e-9
    assert max(float(np.abs(p).max()) for p in jax.tree.leaves(after.generator.params)) > 0.1
    assert "gradient_penalty" not in metrics


@pytest.mark.parametrize(("constraint", "rate"), [("clip", 5e-5), ("gradient-penalty", 2e-4)])
def test_the_optimizer_of_each_constraint_has_its_authors_step_size(constraint, rate, monkeypatch):
    made = []
    for module, name in ((factory, "adam"), (optax, "rmsprop")):
        monkeypatch.setattr(
            module, name, lambda *args, name=name, **kwargs: made.append((name, args[0])) or optax.sgd(args[0])
        )
    build(WGAN(constraint=constraint), image_shape=SHAPE)
    assert made == [("rmsprop" if constraint == "clip" else "adam", rate)]


class Shift(nn.Module):
    """A generator that moves normal latents by a vector and never learns: its step size will be nought."""

    shift: tuple[float, ...]

    @nn.compact
    def __call__(self, z, *, train=False):
        moved = z + self.param("shift", lambda key: jnp.array(self.shift))
        return moved[:, None, :, None]


@pytest.mark.parametrize(
    ("shift", "weight"), [((1.0,), 10.0), ((1.5, -2.0), 100.0), pytest.param((0.6, -0.8), 10.0, marks=pytest.mark.slow)]
)
def test_the_critic_s_estimate_is_the_wasserstein_distance_of_two_normal_laws(shift, weight):
    # W1 of a law and the same law moved by v is |v|. The two-sided penalty lets the slope be 1 + |v| / (2 weight).
    distance, size = float(np.linalg.norm(shift)), len(shift)
    method = gan.gan(
        Shift(shift),
        fully_connected.Discriminator((64, 64), 0.2, 0.0),
        image_shape=(1, size, 1),
        latent_size=size,
        latent_law=noise.normal,
        generator_optimizer=optax.sgd(0.0),
        discriminator_optimizer=optax.adam(2e-3, 0.5, 0.9),
        loss=losses.wasserstein(),
        penalties=[penalties.gradient_penalty(weight)],
        critic_steps=5,
    )

    def body(state, i):
        words = noise.words(jax.random.fold_in(jax.random.key(8), i), jnp.arange(256), count=size)
        images = noise.normal(words).reshape(256, 1, size, 1)
        index = jnp.arange(256)
        return method.step(state, Batch(images, index, index), jax.random.fold_in(KEY, i))

    _, metrics = jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(600)))(method.init(KEY))
    assert np.mean(metrics["wasserstein_estimate"][-200:]) == pytest.approx(distance, rel=0.1)


def test_a_penalty_every_other_step_weighs_twice_and_is_absent_between():
    lazy = dataclasses.replace(SMALL, r1_weight=1.0, penalty_every=2, discriminator_norm="none")
    twice = dataclasses.replace(lazy, r1_weight=2.0, penalty_every=1)
    never = dataclasses.replace(lazy, r1_weight=0.0, penalty_every=1)
    _, first, metrics = one_step(lazy)
    _, expected, expected_metrics = one_step(twice)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    jax.tree.map(close, (first, metrics), (expected, expected_metrics))
    _, second, metrics = one_step(lazy, first)
    _, expected, _ = one_step(never, first)
    jax.tree.map(close, second, expected)
    assert metrics["r1_penalty"] == 0


def test_learning_rates_that_decay_end_at_nothing():
    config = dataclasses.replace(SMALL, decay_steps=1, discriminator_norm="none", generator_norm="none")
    _, first, _ = one_step(config)
    _, second, _ = one_step(config, first)
    moved = changed(first.generator.params, second.generator.params)
    assert not any(moved)
