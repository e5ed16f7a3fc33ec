import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.data import Dataset
from jaxgan.runs import tracking, train
from jaxgan.runs.checkpoints import latest_step
from jaxgan.runs.workdir import Workdir
from tests.training import train_config, with_run


@pytest.fixture(scope="module")
def held_out():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (1345, 6, 5, 1), dtype=np.uint8)  # two parts, the second one shorter
    return Dataset("toy", images, rng.integers(0, 10, 1345).astype(np.int32), tuple("0123456789"))


def measured(method):
    """The method with the brightness of held-out images, and a baseline of it."""
    brightness = lambda state, batch, key: {"brightness": jnp.mean(batch.images)}
    baseline = lambda train, test: {"test_baseline": float(train.mean() - test.mean())}
    return method._replace(evaluate=brightness, baseline=baseline)


def test_each_epoch_s_row_has_held_out_metrics_and_the_baseline(toy_config, toy_dataset, held_out):
    train_config(with_run(toy_config, epochs=2), toy_dataset, held_out=held_out, change=measured)
    rows = tracking.read_rows(Workdir(toy_config.run.workdir).metrics)
    found = [(row["epoch"], row["test_brightness"], row["test_baseline"]) for row in rows if "test_brightness" in row]
    brightness = held_out.images.mean() / 127.5 - 1
    baseline = toy_dataset.images.mean() - held_out.images.mean()
    assert found == [(epoch, pytest.approx(brightness, abs=1e-5), pytest.approx(baseline)) for epoch in (1.0, 2.0)]


@pytest.mark.slow
def test_several_devices_measure_what_one_does(toy_config, toy_dataset, held_out, tmp_path):
    found = []
    for count in (1, 4):
        config = with_run(toy_config, workdir=tmp_path / str(count), epochs=1)
        train_config(config, toy_dataset, devices=count, held_out=held_out, change=measured)
        row = tracking.read_rows(Workdir(config.run.workdir).metrics)[-1]
        found.append({name: value for name, value in row.items() if name.startswith("test_")})
    assert found[0] == pytest.approx(found[1], rel=1e-5, abs=1e-6)


def test_seconds_add_up_over_attempts_and_metrics_hold_no_times(toy_config, toy_dataset, finished):
    finished.timings.write_text('{"step": 9, "epoch": 3.0, "seconds": 1000.0}\n')
    train_config(with_run(toy_config, epochs=4), toy_dataset, resume=True)
    seconds = [row["seconds"] for row in tracking.read_rows(finished.timings)]
    assert seconds == sorted(seconds)
    assert seconds[0] == 1000
    assert all(1000 < value < 2000 for value in seconds[1:])
    rows = tracking.read_rows(finished.metrics)
    assert [row["step"] for row in rows][-2:] == [row["step"] for row in tracking.read_rows(finished.timings)][1:]
    assert not any("seconds" in row for row in rows)
    shares = tracking.read_rows(finished.timings)[-1]["shares"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert shares["compile"] > shares["input"] > 0
    assert shares["checkpoint"] > 0 < shares["steps"]


@pytest.mark.parametrize("debug_nans", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_ruined_state_is_not_saved(toy_config, toy_dataset, debug_nans):
    def ruin(method):
        def step(state, batch, key):
            state, metrics = method.step(state, batch, key)
            return state.replace(averaged=jax.tree.map(lambda x: jnp.log(x - 9), state.averaged)), metrics

        return method._replace(step=step)

    words = r"averaged/.* is not finite after step \d" + (
        "; the first NaN is a result of log, tests.runs.test_train.*" if debug_nans else ""
    )
    with pytest.raises(train.Diverged, match=words + "$"):
        train_config(with_run(toy_config, debug_nans=debug_nans), toy_dataset, change=ruin)
    assert latest_step(Workdir(toy_config.run.workdir).checkpoints) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("above", "words"),
    [
        (1.5, r"the first NaN is a result of log, tests.runs.test_train\.py:\d+ \(.*step\)$"),
        (2.0, "no operation produced a NaN: a number became infinite$"),
    ],
)
def test_the_operation_that_made_the_first_nan_is_named(toy_config, toy_dataset, above, words):
    def ruin(method):
        def step(state, batch, key):
            state, metrics = method.step(state, batch, key)
            return state, {**metrics, "generator_loss": jnp.log(above - state.step)}

        return method._replace(step=step)

    with pytest.raises(train.Diverged, match=f"generator_loss is not finite at step 1; {words}"):
        train_config(with_run(toy_config, debug_nans=True), toy_dataset, change=ruin)
