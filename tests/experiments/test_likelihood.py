import dataclasses
import json

import numpy as np
import pytest
from studies import likelihood

from jaxgan import data
from jaxgan.data import Dataset
from jaxgan.runs import tracking


@pytest.fixture
def small(monkeypatch):
    """A few noisy digits in place of MNIST, and small networks."""
    images = np.random.default_rng(0).integers(0, 256, (150, 28, 28, 1), dtype=np.uint8)
    digits = Dataset("mnist", images, np.arange(150, dtype=np.int32) % 10, tuple("0123456789"))
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: digits)
    monkeypatch.setattr(tracking, "draw", lambda *args, **how: [])  # takes longer than training
    tiny = {"hidden_units": 4, "latent_size": 2}
    shrunk = {
        name: dataclasses.replace(recipe, method=dataclasses.replace(recipe.method, **tiny))
        for name, recipe in likelihood.MODELS.items()
    }
    monkeypatch.setattr(likelihood, "MODELS", shrunk)


@pytest.mark.exhaustive
def test_estimates_stand_beside_published_ones_and_earlier_rows_stay(small, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    before = {"nats": 88.125, "importance_samples": 1, "epochs": 7, "batch_size": 100, "minutes": 1.25}
    before |= {"protocol": "as ours", "measured": "earlier"}
    (tmp_path / "out" / "likelihood.json").write_text(json.dumps({"vae": before}))
    flags = ["--models", "iwae", "--epochs", "1", "--samples", "3", "--devices", "1"]
    likelihood.main([*flags, "--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    row = json.loads((tmp_path / "out" / "likelihood.json").read_text())["iwae"]
    assert row["importance_samples"] == 5
    assert 500 < row["nats"] < 600  # 784 log 2 = 543
    text = (tmp_path / "out" / "likelihood.md").read_text()
    assert text in capsys.readouterr().out
    assert f"| IWAE, ours | 5 | {row['nats']:.2f} | 1 | 100 | dynamic | {row['minutes']:.1f} |" in text
    assert "| VAE, ours | 1 | 88.12 | 7 | 100 | dynamic | 1.2 |" in text  # of an earlier command
    assert "| VAE, Burda et al. 2016, table 1 | 1 | 86.76 | 3,280 | 20 | dynamic |  |" in text
    assert "3 latents for each of 150 test images, seed 0" in text


def test_the_models_have_the_networks_of_the_paper():
    vae, iwae = (likelihood.config(name, likelihood.Options()) for name in ("vae", "iwae"))
    for config, samples in ((vae, 1), (iwae, 5)):
        method = config.method
        assert (method.hidden_layers, method.hidden_units, method.latent_size) == (2, 200, 50)
        assert (method.activation, method.targets, method.importance_samples) == ("tanh", "binarized", samples)
        assert method.decay_steps == config.run.epochs * 600
