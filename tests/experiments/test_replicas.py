import jax
import numpy as np
import pytest
from studies import replicas
from studies.speed import programs

from jaxgan.config import Config, Run
from jaxgan.data import Dataset
from jaxgan.methods.vanilla_gan import VanillaGAN

RATES = {"one run": [800.0, 1000.0], "turns": [200.0, 250.0], "vmap": [400.0, 500.0]}


def test_speeds_are_relative_to_as_many_runs_one_after_another():
    text = replicas.report({("vanilla_gan", 4): RATES, ("dcgan", 2): RATES | {"spread": [800.0, 1000.0]}}, threads=2)
    lines = text.splitlines()
    assert "| Vanilla GAN | 4 | 1.11 | 1.00 | 2.00 |  |" in lines
    assert "| DCGAN | 2 | 1.11 | 0.500 | 1.00 | 2.00 |" in lines


@pytest.mark.exhaustive
def test_the_study_times_every_form(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    toy = Dataset("toy", rng.integers(0, 256, (64, 6, 5, 1), dtype=np.uint8), np.zeros(64, np.int32), ("0",))
    small = Config(VanillaGAN(latent_size=3, hidden_units=4), Run(batch_size=8))
    monkeypatch.setitem(programs.RECIPES, "vanilla_gan", small)
    monkeypatch.setattr(replicas.data, "load", lambda name, data_dir=None: toy)
    monkeypatch.setattr(replicas, "in_fresh_process", lambda measure, *args, threads: measure(*args))
    options = replicas.Options(methods=("vanilla_gan",), counts=(2,), repeats=1, seconds=0.01, out=tmp_path / "new")
    row = replicas.study(options).read_text().splitlines()[-1]
    assert row.startswith("| Vanilla GAN | 2 |")
    assert len(jax.devices()) > 1
    assert row.count("|  |") == 0
