"""Devices share a batch: however many, under either front end, they compute what one computes."""

import functools

import jax
import numpy as np
import optax
import pytest

from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN
from jaxgan.runtime import devices as runtime_devices
from jaxgan.runtime.program import Inputs
from tests.programs import stepper

BATCH, STEPS = 16, 20
CONFIG = VanillaGAN(latent_size=5, hidden_units=12, ema_decay=0.9)
SGD = optax.sgd(1.0)  # Adam would hide a wrong scale of the gradient
SMALL_SGD = optax.sgd(0.1)  # two steps stay near the start
slow = functools.partial(pytest.param, marks=pytest.mark.slow)

# Batch statistics and gradient penalties tie examples and devices together. Critic steps put collectives into a branch,
# lazy penalties put gradients there.
TIED = {
    "dcgan": DCGAN(width=2, latent_size=5, r1_weight=1.0, dragan_weight=1.0, conditional=True),
    "classes": DCGAN(width=2, latent_size=5, conditional=True, discriminator_norm="layer", classification_weight=1.0),
    "spectral": DCGAN(width=2, latent_size=5, spectral_norm=True, loss="relativistic", r2_weight=1.0, penalty_every=2),
    "wgan": WGAN(width=2, latent_size=5, critic_steps=2),
    "clip": WGAN(width=2, latent_size=5, constraint="clip", critic_norm="layer", critic_steps=1),
    "vae": VAE(latent_size=3, hidden_units=8, targets="binarized", importance_samples=2, conditional=True),
}
# tests/test_every_method.py has each method on two devices; these have more of them, and more options.
TIED_WAYS = [("wgan", 2, "pmap")]
TIED_WAYS += [slow("dcgan", 2, "shard_map"), slow("dcgan", 8, "pmap"), slow("spectral", 4, "shard_map")]
TIED_WAYS += [slow("classes", 2, "shard_map"), slow("wgan", 8, "shard_map"), slow("clip", 4, "pmap")]
TIED_WAYS += [slow("vae", 4, "pmap"), slow("vae", 2, "shard_map")]


def made(config=CONFIG, *, devices=1, **options):
    return stepper(config, devices=devices, image_shape=(6, 5, 1), batch_size=BATCH, steps=STEPS, **options)


def run(*args, steps, **options):
    """The metrics of each step, and the parameters of all networks before the first and after each."""
    program = made(*args, **options)
    carry = program.start()
    params = [parameters(jax.device_get(carry))]
    rows, carries = program.rows(carry, steps=steps)
    return rows, params + [parameters(carry) for carry in carries]


def parameters(carry):
    return carry.state.variables(averaged=False)[0]


def first_gradients(params):
    """What plain descent with step size 1 took away in the first step."""
    return jax.tree.map(np.subtract, params[0], params[1])


def assert_close(found, expected):
    """Within 1e-5 of the largest entry of each array."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max()), found, expected)


@pytest.fixture(scope="module")
def on_one():
    return run(steps=STEPS, optimizer=SGD)


@pytest.mark.slow  # of every method two devices are compared with one in tests/test_every_method.py
@pytest.mark.parametrize("parallel", ["pmap", "shard_map"])
def test_eight_devices_have_the_gradients_and_losses_of_one(parallel, on_one):
    rows, params = run(devices=8, parallel=parallel, steps=STEPS, optimizer=SGD)
    assert_close(first_gradients(params), first_gradients(on_one[1]))
    for found, expected in zip(rows, on_one[0], strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("devices", "parallel"), [(1, "auto"), (2, "shard_map"), slow(2, "pmap")])
def test_a_batch_in_parts_has_the_gradients_of_a_whole_one(devices, parallel, on_one):
    _, params = run(devices=devices, parallel=parallel, steps=1, accumulate=4, optimizer=SGD)
    assert_close(first_gradients(params), first_gradients(on_one[1]))


@functools.cache
def tied_on_one(name):
    return run(TIED[name], steps=2, optimizer=SMALL_SGD)


@pytest.mark.parametrize(("name", "devices", "parallel"), TIED_WAYS)
def test_statistics_penalties_and_critic_steps_span_all_devices(name, devices, parallel):
    rows, params = run(TIED[name], devices=devices, parallel=parallel, steps=2, optimizer=SMALL_SGD)
    expected_rows, expected_params = tied_on_one(name)
    for found, expected in zip(rows, expected_rows, strict=True):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    moves = [jax.tree.map(np.subtract, *(p[i] for i in (0, -1))) for p in (params, expected_params)]
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max() + 1e-7)
    jax.tree.map(close, *moves)


def test_the_carry_stays_replicated_and_is_donated():
    program = made(devices=2, parallel="shard_map", accumulate=4, optimizer=SGD)  # compiled above
    before = program.start()
    after = program.advance(before, stop=1)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before.state))
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(after))
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(after)} == {2}


def test_the_compiler_gets_options_that_it_knows_and_no_others(monkeypatch):
    known = runtime_devices.compiler_options(jax.devices()[:1])
    assert known == runtime_devices.CPU_OPTIONS
    monkeypatch.setattr(runtime_devices, "CPU_OPTIONS", {"xla_cpu_of_another_year": "1"})
    assert runtime_devices.compiler_options(jax.devices()[:1]) is None


@pytest.mark.parametrize(("devices", "parallel"), [(1, "auto"), (2, "shard_map")])
def test_the_training_program_is_compiled_with_these_options(devices, parallel, monkeypatch):
    monkeypatch.setattr(runtime_devices, "compiler_options", lambda devices: {"xla_cpu_of_another_year": "1"})
    program = made(devices=devices, parallel=parallel)
    abstract = jax.eval_shape(program.program.init, np.uint32(0))
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_cpu_of_another_year"):
        program.program.train_steps.lower(abstract, Inputs(*program.resident, np.int32(1))).compile()
