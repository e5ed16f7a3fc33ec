from types import SimpleNamespace

import numpy as np
import pytest

from jaxgan.evaluation import feature_network
from jaxgan.evaluation.feature_network import FeatureNetwork
from jaxgan.methods.dcgan import DCGAN

torch = pytest.importorskip("torch")

from studies import training  # noqa: E402  only with PyTorch
from studies import twins_quality as study  # noqa: E402


def evaluation(distance):
    return SimpleNamespace(metrics={"frechet_distance": SimpleNamespace(mean=distance)})


@pytest.fixture
def made(monkeypatch):
    """Runs that are not trained, and evaluations by the seed; the calls that would have trained and evaluated."""
    calls = []
    ramp = torch.linspace(-1, 1, 256)[:, None, None, None].expand(256, 1, 28, 28)

    def train(make, how):
        calls.append(("pytorch", make, how))
        how.workdir.mkdir(parents=True)
        return SimpleNamespace(twin=SimpleNamespace(sample=lambda count: ramp))

    def evaluate_run(folder, *, count, data_dir):
        return evaluation(2.0 + 0.1 * int(folder.name[-1]))

    def evaluate_file(path, *, data_name, count, data_dir):
        return evaluation(2.5 + 0.1 * int(path.parent.name[-1]))

    monkeypatch.setattr(study.imperative, "run", train)
    monkeypatch.setattr(training, "train", lambda config: calls.append(("jaxgan", config)))
    monkeypatch.setattr(study, "evaluate_run", evaluate_run)
    monkeypatch.setattr(study, "evaluate_file", evaluate_file)
    monkeypatch.setattr(feature_network, "load", lambda name, **how: FeatureNetwork("test-1", None))
    return calls


def run(tmp_path, *flags):
    study.main([*flags, "--samples", "256", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    return [line for line in (tmp_path / "out" / "twins.md").read_text().splitlines() if line.startswith("| ")][2:]


def test_the_table_has_means_over_training_seeds_and_their_difference(made, tmp_path):
    assert run(tmp_path, "--methods", "vanilla_gan", "dcgan", "--seeds", "3")[:4] == [
        "| Vanilla GAN | recipe | 20 | 2.10 ± 0.1 | 2.00, 2.10, 2.20 |",
        "| Vanilla GAN | PyTorch twin | 20 | 2.60 ± 0.1 | 2.50, 2.60, 2.70 |",
        "| Vanilla GAN | difference |  | -0.5 ± 0.082 |  |",
        "| DCGAN | recipe | 3 | 2.10 ± 0.1 | 2.00, 2.10, 2.20 |",
    ]


def test_one_seed_has_no_deviation_and_what_is_evaluated_stays(made, tmp_path):
    flags = ("--methods", "dcgan", "--seeds", "1")
    rows = [
        "| DCGAN | recipe | 3 | 2.00 | 2.00 |",
        "| DCGAN | PyTorch twin | 3 | 2.50 | 2.50 |",
        "| DCGAN | difference |  | -0.5 |  |",
    ]
    assert run(tmp_path, *flags) == rows
    made.clear()
    assert run(tmp_path, *flags) == rows
    assert made == []


def test_a_twin_is_trained_as_its_recipe_is_and_its_samples_become_bytes(made, tmp_path):
    run(tmp_path, "--methods", "dcgan", "--seeds", "3")
    _, wanted = made[2]
    _, make, how = made[5]
    assert make is study.TWINS[DCGAN]
    assert (how.epochs, how.seed, how.batch_size) == (3, 2, 64)
    assert (wanted.run.epochs, wanted.run.seed, wanted.run.batch_size) == (3, 2, 64)
    folder = tmp_path / "runs" / "dcgan"
    assert (how.workdir, wanted.run.workdir) == (folder / "pytorch_2", folder / "jaxgan_2")
    images = np.load(folder / "pytorch_2" / "drawn.npz")["images"]
    assert images.shape == (256, 28, 28, 1)
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(256))
