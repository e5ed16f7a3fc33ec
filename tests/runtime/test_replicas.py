import dataclasses

import jax
import numpy as np
import pytest

from jaxgan.data.order import epoch_order
from jaxgan.methods import METHODS, Batch, build
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN
from jaxgan.runtime.devices import mapped_axis, replicate
from jaxgan.runtime.program import Inputs
from jaxgan.runtime.replicas import Replicas, compile_replicas, entry, is_numeric
from tests.programs import stepper, training_data
from tests.random_states import fresh_state

SHAPE, BATCH, STEPS = (6, 5, 1), 4, 3
VANILLA = VanillaGAN(latent_size=3, hidden_units=4)
# The last one diverges. The second differs from the first in its seed and in its generator's learning rate.
SEEDS, RATES, RUINED = (7, 8, 7), (1e-3, 3e-3, 1e-3), (1e-3, 1e-3, 1e38)
FIELDS = {"generator_learning_rate": RATES, "discriminator_learning_rate": RUINED}


def train(config, *, seeds, fields=None, form=None, devices=1, shape=SHAPE):
    """Trains replicas for some steps; returns what each has on the host."""
    chosen = jax.devices()[:devices]
    fields = {} if fields is None else fields

    def made(values):
        axis_name = mapped_axis(chosen[: len(chosen) // replicas.groups(chosen)])
        return build(dataclasses.replace(config, **values), image_shape=shape, axis_name=axis_name)

    replicas = Replicas(made, seeds, fields)
    images, labels, _ = training_data(shape, batch_size=BATCH, steps=STEPS)
    program = compile_replicas(replicas, chosen, image_shape=shape, batch_size=BATCH, form=form)
    place = replicas.sharding(chosen)
    order = replicate(np.stack([epoch_order(len(images), seed=seed, epoch=0) for seed in seeds]), place)
    seed = replicate(np.asarray(seeds, np.uint32), place)
    carry = program.init(seed)
    for stop in (1, STEPS):  # cutting a run into calls changes nothing
        carry = program.train_steps(carry, Inputs(images, labels, order, seed, np.int32(stop)))
    return jax.device_get(carry)


def alone(config, seed, *, shape=SHAPE):
    """The same of a single run."""
    one = stepper(config, image_shape=shape, batch_size=BATCH, steps=STEPS, seed=seed)
    images, labels, _, _ = one.resident
    order = epoch_order(len(images), seed=seed, epoch=0)
    inputs = Inputs(images, labels, order, np.uint32(seed), np.int32(STEPS))
    return jax.device_get(one.program.train_steps(one.start(), inputs))


@pytest.fixture(scope="module")
def single():
    """The run of the second seed and learning rate."""
    return alone(dataclasses.replace(VANILLA, generator_learning_rate=RATES[1]), SEEDS[1])


@pytest.fixture(scope="module", params=[pytest.param("turns", marks=pytest.mark.exhaustive), "vmap"])
def trained(request):
    return train(VANILLA, seeds=SEEDS, fields=FIELDS, form=request.param)


def assert_same_run(found, replica, expected, *, tolerance=1e-5):
    close = lambda a, b: np.testing.assert_allclose(a[replica], b, rtol=tolerance, atol=tolerance)
    jax.tree.map(close, found, expected)


def test_a_replica_is_the_run_of_its_own_seed_and_learning_rate(trained, single):
    assert_same_run(trained, 1, single)


def test_a_replica_that_diverges_stops_alone(trained):
    assert trained.state.step.tolist() == trained.count.tolist() == [STEPS, STEPS, 1]
    assert np.isfinite(trained.metric_sums["generator_loss"]).tolist() == [True, True, False]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("devices", "form", "copies"), [(4, "turns", 1), (4, "vmap", 1), (2, "turns", 2)])
def test_replicas_are_the_same_on_a_grid_of_devices(devices, form, copies, single):
    fields = {"generator_learning_rate": RATES[:2] * copies}
    found = train(VANILLA, seeds=SEEDS[:2] * copies, fields=fields, form=form, devices=devices)
    for copy in range(copies):
        assert_same_run(found, 2 * copy + 1, single)


def test_an_entry_stays_on_the_device_that_has_it():
    two = jax.devices()[:2]
    place = Replicas(lambda values: None, SEEDS[:2] * 2).sharding(two)
    spread = replicate(np.arange(8.0).reshape(4, 2), place)
    for number in range(4):
        found = entry({"x": spread}, number)["x"]
        assert found.devices() == {two[number // 2]}
        np.testing.assert_array_equal(found, [2 * number, 2 * number + 1])


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "config", [DCGAN(latent_size=3, width=2, penalty_every=2, r1_weight=1.0), WGAN(width=2, critic_steps=2)]
)
def test_replicas_share_branches_that_depend_on_the_step(config):
    found = train(config, seeds=SEEDS[:2], form="vmap", shape=(8, 8, 1))
    assert_same_run(found, 1, alone(config, SEEDS[1], shape=(8, 8, 1)), tolerance=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vanilla_gan", "dcgan", "vae"])
def test_replicas_equal_single_runs_in_double_precision(kind):
    method, shape, rng = (
        build(METHODS[kind].config(), image_shape=(8, 8, 1)),
        (BATCH, 8, 8, 1),
        np.random.default_rng(0),
    )
    with jax.enable_x64(True):
        state = jax.tree.map(double, fresh_state(method))
        two = lambda x: np.stack([x, x * (1 + rng.uniform(0, 0.1, x.shape)).astype(x.dtype)])
        states, keys = jax.tree.map(two, state), jax.random.split(jax.random.key(0), 2)
        index = np.arange(2 * BATCH, dtype=np.int32).reshape(2, BATCH)
        batches = Batch(rng.uniform(-1, 1, (2, *shape)), index % 10, index)
        together = jax.device_get(jax.jit(jax.vmap(method.step))(states, batches, keys))
        for replica in range(2):
            one = jax.tree.map(lambda x, number=replica: x[number], (states, batches, keys))
            assert_same_run(together, replica, jax.device_get(jax.jit(method.step)(*one)), tolerance=1e-11)


def double(leaf):
    return np.asarray(leaf, np.float64 if leaf.dtype == np.float32 else leaf.dtype)


def numeric(kind, fields, shape=(8, 8, 1)):
    config = METHODS[kind].config()
    made = lambda values: build(dataclasses.replace(config, **values), image_shape=shape)
    return [name for name in fields if is_numeric(made, name, getattr(config, name) or 0.5, image_shape=shape)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", METHODS)
def test_every_learning_rate_can_be_swept(kind):
    rates = [f.name for f in dataclasses.fields(METHODS[kind].config) if f.name.endswith("learning_rate")]
    assert rates
    assert rates == numeric(kind, rates)


def test_fields_that_decide_what_is_computed_are_found():
    assert numeric("vanilla_gan", ["negative_slope", "dropout_rate", "beta1"]) == ["negative_slope"]
