import re

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.runs import diagnosis
from jaxgan.runs.diagnosis import EARLY, Watch, mean_distance, signs_in_metrics, signs_in_spread
from tests.training import train_config

BALANCED = {"real_probability": 0.7, "fake_probability": 0.3, "generator_loss": 0.9, "step": 2000, "epoch": 2.0}
NOISE = np.random.default_rng(0).integers(0, 128, (30, 4, 4, 1), dtype=np.uint8)


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"real_probability": 0.995, "fake_probability": 0.004}, r"D\(x\) is 0\.995, D\(G\(z\)\) 0\.004"),
        ({"largest_share_error": 1.0}, "a class is missing"),
        ({"generator_loss": -151.0}, r"generator_loss is -151, after 0\.9"),
    ],
)
def test_a_sign_in_the_metrics_is_told_in_words(metrics, words):
    (found,) = signs_in_metrics(BALANCED | metrics, BALANCED).values()
    assert re.search(words, found)


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"real_probability": 0.995, "fake_probability": 0.02},
        {"fake_probability": 0.001},
        {"generator_loss": 80.0},
        {"wasserstein_estimate": 1e6},
        {"largest_share_error": 0.9},
    ],
)
def test_a_balanced_game_has_no_sign(metrics):
    assert signs_in_metrics(BALANCED | metrics, BALANCED) == {}


def test_distance_is_zero_for_equal_images_and_grows_with_contrast():
    assert mean_distance(np.repeat(NOISE[:1], 30, axis=0)) == 0
    assert mean_distance(2 * NOISE) == pytest.approx(2 * mean_distance(NOISE))


def test_samples_that_are_alike_or_become_so_are_a_sign():
    assert signs_in_spread(0.5, 0.9) == {}
    assert "samples are 44% as far apart as real images, after 90%" in signs_in_spread(0.44, 0.9)["alike"]
    assert "samples are 9% as far apart as real images:" in signs_in_spread(0.09, 0.0)["alike"]


def test_a_sign_is_told_once_and_not_in_the_first_steps():
    told = []
    watch = Watch(lambda: NOISE, told.append)
    for step in (EARLY - 1, EARLY, EARLY + 1):
        watch.samples(np.zeros_like(NOISE), step=step)
        watch.row({"real_probability": 1.0, "fake_probability": 0.0, "step": step})
    assert [line.split(":")[0] for line in told] == [f"step {EARLY}"] * 2
    assert ["samples are" in line for line in told] == [True, False]


def test_training_images_without_contrast_are_no_measure():
    told = []
    Watch(lambda: np.zeros_like(NOISE), told.append).samples(NOISE, step=EARLY)
    assert told == []


@pytest.mark.slow
def test_a_run_tells_the_signs_in_its_rows_and_its_samples(toy_config, toy_dataset, monkeypatch, caplog):
    monkeypatch.setattr(diagnosis, "EARLY", 0)
    certain = {"real_probability": jnp.array(1.0), "fake_probability": jnp.array(0.0)}
    grey = lambda state, key, count: jnp.zeros((count, *toy_dataset.image_shape))

    def change(method):
        def step(*given):
            state, metrics = method.step(*given)
            return state, metrics | certain

        return method._replace(step=step, sample=grey)

    train_config(toy_config, toy_dataset, change=change)
    told = [record.message for record in caplog.records if record.message.startswith("step ")]
    assert [line.partition(" (")[0] for line in told] == [
        "step 3: the discriminator tells real from generated images",
        "step 3: samples are 0% as far apart as real images: a sign of mode collapse; look at the samples",
    ]
