import dataclasses
import shutil
import signal

import jax
import numpy as np
import pytest

from jaxgan.methods.autoencoder import Autoencoder
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.wgan import WGAN
from jaxgan.runs.checkpoints import latest_step
from jaxgan.runtime.signals import Interrupted
from tests.training import Part, assert_same, content, final_state, train_config, train_in_parts, with_run

TOTAL = 9  # steps: three epochs of three batches


@pytest.fixture(scope="module")
def unbroken(finished_toy_run):
    return content(finished_toy_run)


# With an epoch; the test after it stops with a row and within one. Then the rest.
STEPS = [3, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 2, *range(4, TOTAL)))]


@pytest.mark.parametrize("step", STEPS)
def test_a_run_interrupted_at_any_step_ends_the_same(step, toy_config, toy_dataset, unbroken):
    assert_same(train_in_parts(toy_config, Part(toy_dataset, step), Part(toy_dataset)), unbroken)


METHODS = [
    DCGAN(width=2, latent_size=3, spectral_norm=True, ema_decay=0.9, conditional=True),
    WGAN(width=2, latent_size=3, critic_steps=2),
    VAE(hidden_units=5, latent_size=2, targets="binarized"),
    Autoencoder(hidden_units=5, latent_size=2),
]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_all_that_a_method_s_state_holds_survives_interruptions(method, toy_config, toy_dataset, tmp_path):
    config = dataclasses.replace(toy_config, method=method)
    whole = train_in_parts(with_run(config, workdir=tmp_path / "whole"), Part(toy_dataset), held_out=toy_dataset)
    parts = [Part(toy_dataset, 5), Part(toy_dataset)]
    cut = train_in_parts(with_run(config, workdir=tmp_path / "cut"), *parts, held_out=toy_dataset)
    assert_same(cut, whole)


def test_what_a_crash_left_beyond_the_last_checkpoint_is_forgotten(finished, toy_config, toy_dataset, unbroken):
    shutil.rmtree(finished.checkpoints / "9")
    with finished.metrics.open("a") as file:
        file.write('{"step": 10, "epoch": 3.33, "generator_loss": 9}\n{"step": 11, "ep')
    train_config(toy_config, toy_dataset, resume=True)
    assert_same(content(finished.root), unbroken)


@pytest.mark.slow
def test_a_run_moves_from_one_device_to_four_and_back(finished, toy_config, toy_dataset, unbroken):
    shutil.rmtree(finished.checkpoints / "9")
    with pytest.raises(Interrupted):
        train_config(toy_config, toy_dataset, devices=4, resume=True, stop=lambda: signal.SIGTERM, seconds_per_call=0.0)
    assert latest_step(finished.checkpoints) == 7
    train_config(toy_config, toy_dataset, resume=True)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    jax.tree.map(close, final_state(finished.root), unbroken[1])
