import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgan.methods import Batch, build, losses, penalties
from jaxgan.methods.gan import gan
from jaxgan.methods.wgan import WGAN
from jaxgan.nn import mlp, noise
from tests.methods.steps import KEY, SHAPE, a_batch, changed, first_update, one_step
from tests.random_states import fresh_state


def test_the_generator_is_updated_on_every_fifth_critic_step_only():
    config = WGAN(width=2, latent_size=5, ema_decay=0.5)
    method = build(config, image_shape=SHAPE)
    state, step = fresh_state(method), jax.jit(method.step)
    moved = []
    for i in range(10):
        before = state
        state, _ = step(state, a_batch(), jax.random.fold_in(KEY, i))
        moved.append(all(changed(before.generator.params, state.generator.params)))
        assert all(changed(before.discriminator.params, state.discriminator.params)), i
        assert any(changed(before.averaged, state.averaged)) == moved[-1]
        assert int(state.generator.opt_state[0].count) == (i + 1) // 5
    assert moved == [False] * 4 + [True] + [False] * 4 + [True]


def test_a_critic_has_no_sigmoid_and_no_batch_statistics():
    method = build(WGAN(width=2), image_shape=SHAPE)
    state = fresh_state(method)
    assert state.discriminator.batch_stats == {}
    large = jax.tree.map(lambda p: 100 * p, state.discriminator.params)
    values = jax.jit(method.networks["discriminator"].module.apply)({"params": large}, a_batch().images)
    assert np.abs(values).max() > 10


def test_clipping_bounds_the_weights_of_the_critic_alone():
    _, after, metrics = one_step(WGAN(constraint="clip", width=2, clip=0.01, critic_steps=1))
    assert max(float(np.abs(p).max()) for p in jax.tree.leaves(after.discriminator.params)) <= 0.01 + 1e-9
    assert max(float(np.abs(p).max()) for p in jax.tree.leaves(after.generator.params)) > 0.1
    assert "gradient_penalty" not in metrics


# Adam's first update is the step size; that of RMSprop with decay 0.99 is ten times that.
@pytest.mark.parametrize(
    ("fields", "update"), [({"learning_rate": 0.125}, 0.125), ({"constraint": "clip", "clip": 10.0}, 10 * 5e-5)]
)
def test_the_first_update_has_the_step_size_of_the_constraint(fields, update):
    shape = (4, 4, 1)
    before, after, _ = one_step(WGAN(width=2, latent_size=5, critic_steps=1, **fields), shape=shape)
    assert first_update(before.generator, after.generator) == pytest.approx(update, rel=1e-3)
    assert first_update(before.discriminator, after.discriminator) == pytest.approx(update, rel=1e-3)


class Shift(nn.Module):
    """A generator that moves normal latents by a vector and never learns: its step size is zero."""

    shift: tuple[float, ...]

    @nn.compact
    def __call__(self, z, *, train=False):
        moved = z + self.param("shift", lambda key: jnp.array(self.shift))
        return moved[:, None, :, None]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("shift", "weight"), [((1.0,), 10.0), ((1.5, -2.0), 100.0), ((0.6, -0.8), 10.0)])
def test_the_critic_estimates_the_distance_of_two_normal_distributions(shift, weight):
    # W1 of a distribution and the same moved by v is |v|. The two-sided penalty lets the slope be 1 + |v| / (2 weight).
    distance, size = float(np.linalg.norm(shift)), len(shift)
    method = gan(
        Shift(shift),
        mlp.Discriminator((64, 64), 0.2, 0.0),
        image_shape=(1, size, 1),
        latent_size=size,
        prior=noise.PRIORS["normal"],
        generator_optimizer=optax.sgd(0.0),
        discriminator_optimizer=optax.adam(2e-3, 0.5, 0.9),
        loss=losses.wasserstein(),
        penalties=[penalties.gradient_penalty(weight)],
        critic_steps=5,
    )

    def body(state, i):
        bits = noise.random_bits(jax.random.fold_in(jax.random.key(8), i), jnp.arange(256), count=size)
        images = noise.normal(bits).reshape(256, 1, size, 1)
        index = jnp.arange(256)
        return method.step(state, Batch(images, index, index), jax.random.fold_in(KEY, i))

    _, metrics = jax.jit(lambda state: jax.lax.scan(body, state, jnp.arange(600)))(method.init(KEY))
    assert np.mean(metrics["wasserstein_estimate"][-200:]) == pytest.approx(distance, rel=0.1)
