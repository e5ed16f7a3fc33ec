"""However many devices share a batch, and under either front end, they compute what one computes."""

import jax
import numpy as np
import optax
import pytest

from jaxgan.config import DCGAN, WGAN, VanillaGAN
from jaxgan.data.order import epoch_order
from jaxgan.methods import build, factory, gan, gradients
from jaxgan.runtime import devices as runtime_devices
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Inputs, compile_program

SHAPE, BATCH, STEPS = (6, 5, 1), 16, 20
CONFIG = VanillaGAN(latent_size=5, hidden_units=12, ema_decay=0.9)
COUNTS = [(2, "pmap"), (8, "shard_map")]
COUNTS += [
    pytest.param(*way, marks=pytest.mark.slow) for way in ((4, "pmap"), (8, "pmap"), (2, "shard_map"), (4, "shard_map"))
]


# Batch statistics and gradient penalties tie examples and devices together; critic steps put collectives in a branch,
# and lazy penalties gradients.
TIED = {
    "dcgan": DCGAN(width=2, latent_size=5, r1_weight=1.0, dragan_weight=1.0, conditional=True),
    "spectral": DCGAN(width=2, latent_size=5, spectral_norm=True, loss="relativistic", r2_weight=1.0, penalty_every=2),
    "wgan": WGAN(width=2, latent_size=5, critic_steps=2),
    "clip": WGAN(width=2, latent_size=5, constraint="clip", critic_norm="layer", critic_steps=1),
}
TIED_COUNTS = [
    ("dcgan", 2, "shard_map"),
    pytest.param("dcgan", 8, "pmap", marks=pytest.mark.slow),
    pytest.param("spectral", 4, "shard_map", marks=pytest.mark.slow),
]
TIED_COUNTS += [("wgan", 2, "pmap"), pytest.param("wgan", 8, "shard_map", marks=pytest.mark.slow)]
TIED_COUNTS += [pytest.param("clip", 4, "pmap", marks=pytest.mark.slow)]


@pytest.fixture
def sgd(monkeypatch):
    """Replaces Adam, which hides a wrong scale of the gradient, by plain descent with step size 1."""
    monkeypatch.setattr(factory, "adam", lambda *args: optax.sgd(1.0))


def run(count, parallel, *, steps, config=CONFIG, accumulate=1):
    """Losses of each step, and the parameters before and after the first, as NumPy arrays."""
    devices = jax.devices()[:count]
    program = compile_program(
        lambda axis: build(config, image_shape=SHAPE, axis_name=axis, accumulate=accumulate),
        devices,
        image_shape=SHAPE,
        batch_size=BATCH,
        parallel=parallel,
    )
    images = np.random.default_rng(0).integers(0, 256, (BATCH * STEPS, *SHAPE), dtype=np.uint8)
    labels = np.arange(len(images), dtype=np.int32) % 10
    order = epoch_order(len(images), seed=0, epoch=0)
    resident = jax.device_put((images, labels, order, np.uint32(3)), replicated(devices))
    carry = program.init(resident[3])
    rows, params = [], [jax.device_get((carry.state.generator.params, carry.state.discriminator.params))]
    for step in range(steps):
        carry = program.advance(carry, Inputs(*resident, np.int32(step + 1)))
        rows.append({name: float(value) for name, value in carry.sums.items()})
        carry = program.forget(carry)
        params.append(jax.device_get((carry.state.generator.params, carry.state.discriminator.params)))
    return rows, params


def first_gradients(params):
    return jax.tree.map(np.subtract, params[0], params[1])


def assert_close(found, expected):
    """Within 1e-5 of the largest entry of each array."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max()), found, expected)


@pytest.fixture(scope="module")
def losses_of_one():
    return run(1, "auto", steps=STEPS)[0]


@pytest.fixture(scope="module")
def gradients_of_one():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "adam", lambda *args: optax.sgd(1.0))
        return first_gradients(run(1, "auto", steps=1)[1])


@pytest.mark.parametrize(("count", "parallel"), COUNTS)
def test_many_devices_have_the_losses_of_one_for_twenty_steps(count, parallel, losses_of_one):
    for found, expected in zip(run(count, parallel, steps=STEPS)[0], losses_of_one, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("count", "parallel"), COUNTS)
def test_many_devices_have_the_gradients_of_one(count, parallel, sgd, gradients_of_one):
    assert_close(first_gradients(run(count, parallel, steps=1)[1]), gradients_of_one)


@pytest.mark.parametrize(
    ("count", "parallel"), [(1, "auto"), (2, "shard_map"), pytest.param(2, "pmap", marks=pytest.mark.slow)]
)
def test_a_batch_in_parts_has_the_gradients_of_a_whole_one(count, parallel, sgd, gradients_of_one):
    assert_close(first_gradients(run(count, parallel, steps=1, accumulate=4)[1]), gradients_of_one)


@pytest.mark.parametrize(("name", "count", "parallel"), TIED_COUNTS)
def test_networks_with_batch_statistics_penalties_and_critic_steps_are_the_same_on_many_devices(
    name, count, parallel, monkeypatch
):
    # Plain descent again, since adaptive step sizes hide a wrong scale; small, so that two steps stay near the start.
    monkeypatch.setattr(factory, "adam", lambda *args: optax.sgd(0.1))
    monkeypatch.setattr(optax, "rmsprop", lambda *args, **kwargs: optax.sgd(0.1))
    rows, params = run(count, parallel, steps=2, config=TIED[name])
    expected_rows, expected_params = run(1, "auto", steps=2, config=TIED[name])
    for found, expected in zip(rows, expected_rows, strict=True):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    moves = [jax.tree.map(np.subtract, *(p[i] for i in (0, -1))) for p in (params, expected_params)]
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max() + 1e-7)
    jax.tree.map(close, *moves)


def summed(loss, params, examples, *, axis_name, accumulate):
    """The mean gradient, too large by the number of devices."""
    value, gradient = gradients.value_and_mean_grad(loss, params, examples, axis_name=axis_name)
    return value, jax.tree.map(lambda g: g * jax.lax.axis_size(axis_name), gradient)


def unmarked(loss, params, examples, *, axis_name, accumulate):
    """The mean over devices of gradients that shard_map has summed already."""
    return jax.lax.pmean(jax.value_and_grad(loss, has_aux=True)(params, examples), axis_name)


@pytest.mark.parametrize(("wrong", "parallel"), [(summed, "pmap"), (summed, "shard_map"), (unmarked, "shard_map")])
def test_a_gradient_of_the_wrong_scale_is_caught(wrong, parallel, sgd, gradients_of_one, monkeypatch):
    right = gradients.value_and_mean_grad
    monkeypatch.setattr(
        gan,
        "value_and_mean_grad",
        lambda *args, axis_name, **how: (wrong if axis_name else right)(*args, axis_name=axis_name, **how),
    )
    with pytest.raises(AssertionError):
        assert_close(first_gradients(run(2, parallel, steps=1)[1]), gradients_of_one)


def test_state_stays_replicated_and_is_donated():
    devices = jax.devices()[:4]
    program = compile_program(
        lambda axis: build(CONFIG, image_shape=SHAPE, axis_name=axis), devices, image_shape=SHAPE, batch_size=BATCH
    )
    images = np.zeros((BATCH, *SHAPE), np.uint8)
    resident = jax.device_put(
        (images, np.zeros(BATCH, np.int32), np.arange(BATCH, dtype=np.int32), np.uint32(0)), replicated(devices)
    )
    before = program.init(resident[3])
    after = program.advance(before, Inputs(*resident, np.int32(1)))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before.state))
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(after))
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(after)} == {4}


def test_the_compiler_gets_options_that_it_knows_and_no_others(monkeypatch):
    known = runtime_devices.compiler_options(jax.devices()[:1])
    assert known == runtime_devices.CPU_OPTIONS
    monkeypatch.setattr(runtime_devices, "CPU_OPTIONS", {"xla_cpu_of_another_year": "1"})
    assert runtime_devices.compiler_options(jax.devices()[:1]) is None


@pytest.mark.parametrize(("count", "parallel"), [(1, "auto"), (2, "shard_map")])
def test_the_training_program_is_compiled_with_these_options(count, parallel, monkeypatch):
    monkeypatch.setattr(runtime_devices, "compiler_options", lambda devices: {"xla_cpu_of_another_year": "1"})
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_cpu_of_another_year"):
        run(count, parallel, steps=1)
