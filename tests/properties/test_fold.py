"""A run is a fold of `step` over shuffled batches: the loop against a plain Python loop that shares no code with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxgan.data.order import epoch_order
from jaxgan.methods import Method
from jaxgan.runs import tracking
from jaxgan.runs.train import train
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime.devices import mapped_axis
from jaxgan.runtime.signals import Interrupted
from tests.training import with_run


@struct.dataclass
class Seen:
    step: jax.Array
    begun_with: jax.Array


def digits(key):
    """A few digits of a key, exact in float32."""
    return (jax.random.key_data(key)[0] % 4096).astype(jnp.float32)


def recorder(axis_name):
    """A method that learns nothing and reports what it was given."""
    mean = (lambda x: x) if axis_name is None else (lambda x: jax.lax.pmean(x, axis_name))

    def step(state, batch, key):
        given = {"pixel": batch.images.mean(), "label": batch.labels.mean(), "index": batch.index.mean()}
        given = {name: mean(value.astype(jnp.float32)) for name, value in given.items()}
        return state.replace(step=state.step + 1), {**given, "key": digits(key), "begun_with": state.begun_with}

    def sample(state, key, count):
        return jnp.full((count, 6, 5, 1), -1.0)

    return Method(lambda key: Seen(jnp.zeros((), jnp.int32), digits(key)), step, sample)


def by_hand(dataset, *, seed, batch_size, epochs):
    """What the recorder is given at each step."""
    root = jax.random.key(seed, impl="threefry2x32")
    step_key = jax.random.fold_in(root, 1)
    step = 0
    for epoch in range(epochs):
        order = epoch_order(len(dataset.images), seed=seed, epoch=epoch)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            yield {
                "pixel": (dataset.images[chosen] / 127.5 - 1).mean(),
                "label": dataset.labels[chosen].mean(),
                "index": (batch_size - 1) / 2,
                "key": float(digits(jax.random.fold_in(step_key, step))),
                "begun_with": float(digits(jax.random.fold_in(root, 0))),
            }
            step += 1


@pytest.fixture
def record(toy_config, toy_dataset):
    """Trains the recorder, and reads the rows of the metrics."""

    def run(*, devices=1, resume=False, options=None, **fields):
        config = with_run(toy_config, **fields)
        chosen = jax.devices()[:devices]
        train(config, recorder(mapped_axis(chosen)), toy_dataset, chosen, resume=resume, **(options or {}))
        return tracking.read_rows(Workdir(config.run.workdir).metrics)

    return run


@pytest.mark.parametrize(("devices", "seed"), [(1, 0), (4, 5)])
def test_batches_keys_and_indices_follow_from_the_seed(devices, seed, record, toy_dataset):
    rows = record(devices=devices, seed=seed, epochs=3, log_every=1)
    expected = list(by_hand(toy_dataset, seed=seed, batch_size=20, epochs=3))
    assert len(rows) == len(expected) == 9
    for i, (row, given) in enumerate(zip(rows, expected, strict=True)):
        assert row["step"] == i + 1
        assert row["epoch"] == pytest.approx((i + 1) / 3)
        assert {name: row[name] for name in given} == pytest.approx(given, abs=1e-5)


def test_rows_hold_the_means_of_the_steps_since_the_row_before(record, toy_dataset):
    rows = record(epochs=2, log_every=2)
    keys = [given["key"] for given in by_hand(toy_dataset, seed=0, batch_size=20, epochs=2)]
    assert [row["step"] for row in rows] == [2, 3, 5, 6]
    means = [np.mean(keys[:2]), keys[2], np.mean(keys[3:5]), keys[5]]
    assert [row["key"] for row in rows] == pytest.approx(means, rel=1e-6)


def test_a_run_that_continues_with_other_rows_loses_no_step(record, toy_dataset):
    reached = {"step": 0}
    options = {
        "stop": lambda: 15 if reached["step"] >= 2 else None,
        "report": lambda now: reached.update(step=now.step),
        "seconds_per_call": 0.0,
    }
    with pytest.raises(Interrupted):
        record(epochs=1, log_every=None, options=options)
    (row,) = record(epochs=1, log_every=2, resume=True)
    keys = [given["key"] for given in by_hand(toy_dataset, seed=0, batch_size=20, epochs=1)]
    assert row["key"] == pytest.approx(np.mean(keys))
