"""Images that a method is not trained on: measured every epoch, beside a baseline, and shown at the end."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import methods
from jaxgan.data import Dataset
from jaxgan.methods.exhibits import Plane, Rows, Sheet
from jaxgan.runtime import loop, program, tracking
from jaxgan.runtime.interrupts import Interrupted
from jaxgan.runtime.workdir import Workdir


def measured(method):
    """The method, with metrics of held-out images: their mean brightness, and the mean of a number drawn for each."""

    def evaluate(state, batch, key):
        drawn = methods.factory.noise.uniform(methods.factory.noise.words(key, batch.index, count=1))
        return {"brightness": jnp.mean(batch.images), "drawn": jnp.mean(drawn), "label": jnp.mean(batch.labels)}

    def exhibits(state, batch, key):
        return {
            "pairs": Rows("Pairs", {"a": batch.images[:4], "b": -batch.images[:4]}),
            "sheet": Sheet("Sheet", batch.images[:6], 3),
            "plane": Plane("Plane", batch.images[:, 0, :2, 0], batch.labels),
        }

    baseline = lambda train, test: {"test_baseline": float(train.mean() - test.mean())}
    return method._replace(evaluate=evaluate, baseline=baseline, exhibits=exhibits)


@pytest.fixture
def held_out():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (2345, 6, 5, 1), dtype=np.uint8)
    return Dataset("toy", images, rng.integers(0, 10, 2345).astype(np.int32), tuple("0123456789"))


@pytest.fixture
def with_measures(monkeypatch):
    build = methods.build
    monkeypatch.setattr(methods, "build", lambda *args, **kwargs: measured(build(*args, **kwargs)))


def rows_of(config):
    return [json.loads(line) for line in Workdir(config.run.workdir).metrics.read_text().splitlines()]


def test_the_means_are_those_over_all_images_however_many_parts_they_make(toy_config, held_out):
    method = measured(methods.build(toy_config.method, image_shape=(6, 5, 1)))
    for count in (7, 1000, 2345):
        images, labels = held_out.images[:count], held_out.labels[:count]
        found = jax.jit(program.held_out_means(method))(None, images, labels, np.uint32(0))
        assert found["brightness"] == pytest.approx(images.mean() / 127.5 - 1, abs=1e-5)
        assert found["label"] == pytest.approx(labels.mean(), rel=1e-5)
        index = jnp.arange(count)
        key = program.role_key(0, program.EVALUATE_ROLE)
        whole = method.evaluate(None, methods.Batch(program.to_unit_range(images), labels, index), key)
        assert found["drawn"] == pytest.approx(float(whole["drawn"]), abs=1e-6)


def test_every_epoch_s_row_has_the_held_out_metrics_and_the_baseline(toy_config, toy_dataset, held_out, with_measures):
    loop.train(toy_config, toy_dataset, jax.devices()[:1], resume=False, held_out=held_out)
    rows = rows_of(toy_config)
    assert [row["epoch"] for row in rows if "test_brightness" in row] == [1.0, 2.0, 3.0]
    expected = toy_dataset.images.mean() - held_out.images.mean()
    assert [row["test_baseline"] for row in rows if "test_baseline" in row] == pytest.approx([expected] * 3)


@pytest.mark.slow
def test_several_devices_measure_what_one_does(toy_config, toy_dataset, held_out, with_measures, tmp_path):
    found = []
    for count in (1, 4):
        run = dataclasses.replace(toy_config.run, workdir=tmp_path / str(count), epochs=1)
        config = dataclasses.replace(toy_config, run=run)
        loop.train(config, toy_dataset, jax.devices()[:count], resume=False, held_out=held_out)
        found.append({name: value for name, value in rows_of(config)[-1].items() if name.startswith("test_")})
    assert found[0] == pytest.approx(found[1], rel=1e-5, abs=1e-6)


def test_exhibits_are_drawn_beside_the_curves(toy_config, toy_dataset, held_out, with_measures):
    state = loop.train(toy_config, toy_dataset, jax.devices()[:1], resume=False, held_out=held_out)
    index = jnp.arange(2345)
    batch = methods.Batch(program.to_unit_range(held_out.images), jnp.asarray(held_out.labels), index)
    exhibits = methods.build(toy_config.method, image_shape=(6, 5, 1)).exhibits(state, batch, None)
    files = tracking.draw(Workdir(toy_config.run.workdir), title="Toy", exhibits=exhibits)
    assert {path.stem for path in files} == {"training", "progress", "samples", "pairs", "sheet", "plane"}
    assert all(path.stat().st_size > 1000 for path in files)


def test_seconds_of_training_add_up_over_attempts_and_metrics_hold_no_times(toy_config, toy_dataset):
    status = {"step": 0}
    with pytest.raises(Interrupted):
        loop.train(
            toy_config,
            toy_dataset,
            jax.devices()[:1],
            resume=False,
            stop=lambda: 15 if status["step"] >= 5 else None,
            report=lambda now: status.update(step=now.step),
            seconds_a_call=0.0,
        )
    folder = Workdir(toy_config.run.workdir)
    first = tracking.read_rows(folder.timings)
    loop.train(toy_config, toy_dataset, jax.devices()[:1], resume=True)
    both = tracking.read_rows(folder.timings)
    assert both[: len(first)] == first
    seconds = [row["seconds"] for row in both]
    assert seconds == sorted(seconds)
    assert [row["step"] for row in both] == [row["step"] for row in tracking.read_rows(folder.metrics)]
    assert not any("seconds" in row for row in tracking.read_rows(folder.metrics))
