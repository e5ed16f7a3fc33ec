"""A run that was interrupted and resumed leaves the same bytes behind as one that was not."""

import dataclasses
import signal

import jax
import numpy as np
import pytest

from jaxgan.config import DCGAN, VAE, WGAN, Autoencoder
from jaxgan.errors import UserError
from jaxgan.runtime import checkpoints, workdir
from jaxgan.runtime.interrupts import Interrupted
from jaxgan.runtime.loop import train

TOTAL = 9  # steps: three epochs of three batches


def stop_at(step, status):
    """Asks the run to stop as soon as it has come to a step."""
    return lambda: signal.SIGTERM if status["step"] >= step else None


def run(config, dataset, folder, *, stops=(), devices=1, seconds_a_call=0.0):
    """Trains in a folder, interrupted at each of the given steps, and returns every byte that must not differ."""
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, workdir=folder))
    status, resume = {"step": 0}, False
    for step in (*stops, None):
        try:
            train(
                config,
                dataset,
                jax.devices()[:devices],
                resume=resume,
                held_out=dataset,
                stop=stop_at(step, status) if step else lambda: None,
                report=lambda now: status.update(step=now.step),
                seconds_a_call=seconds_a_call,
            )
        except Interrupted:
            resume = True
    return content(folder)


def content(folder):
    paths = workdir.Workdir(folder)
    files = {p.name: p.read_bytes() for p in [paths.metrics, *sorted(paths.samples.iterdir())]}
    return files, final_state(folder)


def final_state(folder):
    directory = workdir.Workdir(folder).checkpoints
    with checkpoints.checkpoint_manager(directory) as manager:
        return jax.tree.map(np.asarray, manager.restore(checkpoints.latest_step(directory)))


@pytest.fixture(scope="module")
def unbroken(finished_toy_run):
    return content(finished_toy_run)


def assert_same(found, expected):
    assert found[0].keys() == expected[0].keys()
    for name, data in expected[0].items():
        assert found[0][name] == data, name
    jax.tree.map(np.testing.assert_array_equal, found[1], expected[1])


# Within a row, with a row and with an epoch, of the first epoch and of a later one; then the rest.
@pytest.mark.parametrize(
    "step", [1, 2, 3, 4, *(pytest.param(step, marks=pytest.mark.slow) for step in range(5, TOTAL))]
)
def test_interrupted_at_any_step_it_ends_with_the_same_state_metrics_and_samples(
    step, toy_config, toy_dataset, tmp_path, unbroken
):
    assert_same(run(toy_config, toy_dataset, tmp_path / "cut", stops=[step]), unbroken)


def test_interrupted_again_and_again_or_run_in_one_go_it_ends_the_same(toy_config, toy_dataset, tmp_path, unbroken):
    assert_same(run(toy_config, toy_dataset, tmp_path / "often", stops=[2, 5, 7, 8]), unbroken)
    assert_same(run(toy_config, toy_dataset, tmp_path / "fast", seconds_a_call=10.0), unbroken)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(
            DCGAN(width=2, latent_size=3, spectral_norm=True, ema_decay=0.9, conditional=True), marks=pytest.mark.slow
        ),
        pytest.param(WGAN(width=2, latent_size=3, critic_steps=2), marks=pytest.mark.slow),
        pytest.param(VAE(hidden_units=5, latent_size=2, targets="binarized"), marks=pytest.mark.slow),
        pytest.param(Autoencoder(hidden_units=5, latent_size=2), marks=pytest.mark.slow),
    ],
    ids=lambda method: type(method).__name__,
)
def test_statistics_critic_steps_and_drawn_targets_survive_interruptions_too(method, toy_config, toy_dataset, tmp_path):
    config = dataclasses.replace(toy_config, method=method)
    whole = run(config, toy_dataset, tmp_path / "whole")
    assert_same(run(config, toy_dataset, tmp_path / "cut", stops=[5]), whole)


def test_what_a_crash_left_beyond_the_last_checkpoint_is_forgotten(toy_config, toy_dataset, tmp_path, unbroken):
    folder = tmp_path / "crashed"
    run(dataclasses.replace(toy_config, run=dataclasses.replace(toy_config.run, epochs=1)), toy_dataset, folder)
    with workdir.Workdir(folder).metrics.open("a") as file:
        file.write('{"step": 5, "epoch": 1.67, "generator_loss": 9}\n{"step": 6, "ep')
    config = dataclasses.replace(toy_config, run=dataclasses.replace(toy_config.run, workdir=folder))
    train(config, toy_dataset, jax.devices()[:1], resume=True)
    assert_same(content(folder), unbroken)


def test_a_run_moves_from_one_device_to_four_and_back(toy_config, toy_dataset, tmp_path, unbroken):
    folder = tmp_path / "moved"
    config = dataclasses.replace(toy_config, run=dataclasses.replace(toy_config.run, workdir=folder))
    for epochs, devices in ((1, 1), (2, 4), (3, 1)):
        stage = dataclasses.replace(config, run=dataclasses.replace(config.run, epochs=epochs))
        train(stage, toy_dataset, jax.devices()[:devices], resume=epochs > 1)
    for found, expected in zip(jax.tree.leaves(final_state(folder)), jax.tree.leaves(unbroken[1]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_run_cannot_be_cut_back_to_fewer_epochs(toy_config, toy_dataset, finished):
    fewer = dataclasses.replace(toy_config, run=dataclasses.replace(toy_config.run, epochs=2))
    with pytest.raises(UserError, match="--epochs: 2 is not allowed, the run stands at epoch 3"):
        train(fewer, toy_dataset, jax.devices()[:1], resume=True)
    assert workdir.load_config(finished).run.epochs == 3
