"""A run is a fold of `step` over shuffled batches: the loop against a plain Python loop that shares no code with it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxgan import methods
from jaxgan.data.order import epoch_order
from jaxgan.methods import Method
from jaxgan.runtime import loop, tracking, workdir


@struct.dataclass
class Seen:
    step: jax.Array
    begun_with: jax.Array


def bits(key):
    """A few digits of a key, exact in float32."""
    return (jax.random.key_data(key)[0] % 4096).astype(jnp.float32)


def recorder(config=None, *, image_shape=None, classes=None, axis_name=None, accumulate=1):
    """A method that learns nothing and tells what it was given."""
    mean = (lambda x: x) if axis_name is None else (lambda x: jax.lax.pmean(x, axis_name))

    def step(state, batch, key):
        told = {"pixel": batch.images.mean(), "label": batch.labels.mean(), "index": batch.index.mean()}
        told = {name: mean(value.astype(jnp.float32)) for name, value in told.items()}
        return state.replace(step=state.step + 1), {**told, "key": bits(key), "begun_with": state.begun_with}

    def sample(state, key, count):
        return jnp.full((count, 6, 5, 1), -1.0)

    return Method(lambda key: Seen(jnp.zeros((), jnp.int32), bits(key)), step, sample)


def by_hand(dataset, *, seed, batch_size, epochs):
    """What the recorder is told at each step."""
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
                "key": float(bits(jax.random.fold_in(step_key, step))),
                "begun_with": float(bits(jax.random.fold_in(root, 0))),
            }
            step += 1


@pytest.mark.parametrize(("devices", "seed"), [(1, 0), (1, 5), (4, 5)])
def test_every_step_gets_the_batch_the_key_and_the_indices_that_follow_from_the_seed(
    devices, seed, toy_config, toy_dataset, monkeypatch
):
    monkeypatch.setattr(methods, "build", recorder)
    run = dataclasses.replace(toy_config.run, seed=seed, epochs=3, log_every=1)
    loop.train(dataclasses.replace(toy_config, run=run), toy_dataset, jax.devices()[:devices], resume=False)
    rows = tracking.read_rows(workdir.Workdir(run.workdir).metrics)
    expected = list(by_hand(toy_dataset, seed=seed, batch_size=run.batch_size, epochs=3))
    assert len(rows) == len(expected) == 9
    for i, (row, told) in enumerate(zip(rows, expected, strict=True)):
        assert row["step"] == i + 1
        assert row["epoch"] == pytest.approx((i + 1) / 3)
        assert {name: row[name] for name in told} == pytest.approx(told, abs=1e-5)


def test_rows_hold_the_means_of_the_steps_since_the_row_before(toy_config, toy_dataset, monkeypatch):
    monkeypatch.setattr(methods, "build", recorder)
    run = dataclasses.replace(toy_config.run, epochs=2, log_every=2)
    loop.train(dataclasses.replace(toy_config, run=run), toy_dataset, jax.devices()[:1], resume=False)
    keys = [told["key"] for told in by_hand(toy_dataset, seed=0, batch_size=20, epochs=2)]
    rows = tracking.read_rows(workdir.Workdir(run.workdir).metrics)
    assert [row["step"] for row in rows] == [2, 3, 5, 6]
    found = [row["key"] for row in rows]
    assert found == pytest.approx([np.mean(keys[:2]), keys[2], np.mean(keys[3:5]), keys[5]], rel=1e-6)


def test_a_run_that_goes_on_with_other_rows_loses_no_step(toy_config, toy_dataset, monkeypatch):
    monkeypatch.setattr(methods, "build", recorder)
    run = dataclasses.replace(toy_config.run, epochs=1, log_every=None)
    told = {"step": 0}
    with pytest.raises(loop.Interrupted):
        loop.train(
            dataclasses.replace(toy_config, run=run),
            toy_dataset,
            jax.devices()[:1],
            resume=False,
            stop=lambda: 15 if told["step"] >= 2 else None,
            report=lambda now: told.update(step=now.step),
            seconds_a_call=0.0,
        )
    run = dataclasses.replace(run, log_every=2)
    loop.train(dataclasses.replace(toy_config, run=run), toy_dataset, jax.devices()[:1], resume=True)
    (row,) = tracking.read_rows(workdir.Workdir(run.workdir).metrics)
    assert row["key"] == pytest.approx(
        np.mean([t["key"] for t in by_hand(toy_dataset, seed=0, batch_size=20, epochs=1)])
    )
