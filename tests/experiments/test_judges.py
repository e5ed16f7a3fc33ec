import time

import numpy as np
import pytest
from studies import flow_beside_gans, generators, judges, memorisation
from studies.judges import Scores
from studies.memorisation import STEPS

from jaxgan import data
from jaxgan.config import Config, Run
from jaxgan.evaluation import feature_network
from jaxgan.evaluation.feature_network import FeatureNetwork
from jaxgan.methods import build
from jaxgan.methods.classifier import Classifier
from jaxgan.methods.flow_matching import FlowMatching
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs.load import LoadedRun
from tests.random_states import fresh_state
from tests.runs.pixels import split_of

COUNT = 120
SHAPE = (28, 28, 1)
METHODS = {
    "gan": VanillaGAN(latent_size=3, hidden_units=4),
    "flow": FlowMatching(width=2, levels=1, sample_steps=1, conditional=True, guidance=2.0),
    "classifier": Classifier(width=2),
}


def network(version, *, scale):
    def extract(images):
        features = images.reshape(len(images), -1)[:, 300:306] / np.float32(scale)
        return features, np.eye(10, dtype=np.float32)[images[:, 9, 9, 0] % 10]

    return FeatureNetwork(version, extract)


@pytest.fixture
def small(monkeypatch):
    """Networks that never trained in the place of runs, and a judge that is a few pixels."""

    def load_run(path):
        config = Config(
            METHODS[path.name], Run(batch_size=60, data="kmnist" if path.parent.name == "kana" else "mnist")
        )
        method = build(config.method, image_shape=SHAPE)
        return LoadedRun(config, method, fresh_state(method), 2000, SHAPE, 10)

    monkeypatch.setattr(generators, "load_run", load_run)
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: split_of(split))
    monkeypatch.setattr(feature_network, "load", lambda name, **how: network("pixels-1", scale=255))
    monkeypatch.setattr(judges, "judge", lambda name, options: network(f"{name}-1", scale=51))


def flags(root, *runs):
    folders = ["--cache", str(root / "samples"), "--out", str(root / "out")]
    return ["--runs", *map(str, runs), "--samples", str(COUNT), *folders]


def table(path, start):
    lines = [line for line in path.read_text().splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.exhaustive
def test_each_judge_has_a_column_and_its_own_floor(small, tmp_path):
    judges.main(flags(tmp_path, "gan", "flow"))
    (floor,) = table(tmp_path / "out" / "judges.md", "floor")
    assert len(floor) == 4
    assert float(floor[2]) == pytest.approx(25 * float(floor[1]), rel=0.01)  # features five times as large
    ranked, times = table(tmp_path / "out" / "judges.md", "Vanilla GAN (2 epochs)")
    assert [cell.partition(" ")[2] for cell in ranked[1:]] in (["(1)"] * 3, ["(2)"] * 3)
    assert len(set(times[1:])) == 1
    text = (tmp_path / "out" / "judges.md").read_text()
    assert "| pinned and dense | 1.000 |" in text
    assert "They order all pairs alike." in text
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "samples").iterdir()}
    judges.main(flags(tmp_path, "flow", "gan"))  # takes the samples that are there
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "samples").iterdir()} == before


@pytest.mark.exhaustive
def test_copies_stand_out_in_the_table_of_distances(small, tmp_path, monkeypatch):
    draw = LoadedRun.sample
    copies = split_of("train").images[:COUNT]
    monkeypatch.setattr(LoadedRun, "sample", lambda run, n, **how: draw(run, n, **how) if "way" in how else copies[:n])
    memorisation.main([*flags(tmp_path, "gan"), "--paths", "3"])
    of_copies, way = table(tmp_path / "out" / "memorisation.md", "Vanilla GAN (2 epochs)")
    assert of_copies[1:] == ["0.00", "1.00", "100.0%"] * 2
    assert table(tmp_path / "out" / "memorisation.md", "test images |")[0][2] == "0.50"
    assert float(way[1]) > 0
    assert all((tmp_path / "out" / name).stat().st_size > 10_000 for name in ("memorisation.png", "distances.png"))


@pytest.mark.exhaustive
def test_costs_of_samples_are_relative_to_the_first_run(small, tmp_path, monkeypatch):
    monkeypatch.setattr(flow_beside_gans.programs, "jaxgan", lambda *given: lambda steps: time.sleep(0.001 * steps))
    more = ["--steps", "1", "3", "--repeats", "1", "--seconds", "0.01"]
    flow_beside_gans.main([*flags(tmp_path, "gan", "flow"), *more])
    path = tmp_path / "out" / "flow_beside_gans.md"
    (gan,) = table(path, "Vanilla GAN")
    assert (gan[4], gan[7], gan[-1]) == ("1.00", "1", "1.00")
    assert [row[7] for row in table(path, "Flow matching")] == ["2", "10"]  # twice 1, and twice 2 * 3 - 1


def test_pairs_that_judges_order_differently_are_named():
    found = {"a": Scores("", "", 1.0, 0.1, [1.0, 2.0, 3.0]), "b": Scores("", "", 1.0, 0.1, [1.0, 3.0, 2.0])}
    assert judges.disagreements(["x", "y", "z"], found) == ["y is nearer than z only for a"]
    lines = judges.report(["x", "y", "z"], found, samples=100).splitlines()
    assert "| y | 2.00 (2) | 3.00 (3) |" in lines
    assert "| a and b | 0.500 |" in lines
    assert "| y | 20.0 | 30.0 |" in lines


def test_judges_are_other_networks_of_another_seed():
    made = [judges.config(name, judges.Options()) for name in judges.JUDGES]
    assert {(each.method.network, each.method.width) for each in made} == {("convolutional", 16), ("dense", 32)}
    assert {each.run.seed for each in made} == {1, 2}
    assert all(each.method.decay_steps == each.run.epochs * (60_000 // 128) for each in made)


def test_a_distance_is_near_if_few_test_images_are_nearer():
    test = np.arange(1.0, 101)
    assert memorisation.cells(test, test) == ["50.5", "0.50", "1.0%"]
    assert memorisation.cells(np.array([0.0, 0.5, 200.0]), test) == ["0.500", "0.67", "66.7%"]


def test_a_straight_way_of_equal_steps_has_no_detour():
    ends = np.random.default_rng(0).normal(size=(2, 5, 6))
    share = (np.arange(STEPS) / STEPS)[:, None]
    straight = (1 - share) * ends[0][:, None] + share * ends[1][:, None]
    length, detour = memorisation.path_lengths(straight)
    assert length == pytest.approx(np.mean(np.sum(np.square(ends[1] - ends[0]), axis=1)))
    assert detour == pytest.approx(1)
    back = np.concatenate([straight[:, ::2], straight[:, -2::-2]], axis=1)
    assert memorisation.path_lengths(back)[1] > 2


def test_images_left_out_lie_farther_from_samples_than_training_images():
    held_out, drawn = np.array([[0.0], [5.0], [15.5]]), np.array([[0.5], [9.5]])
    assert list(memorisation.left_out(held_out, drawn, np.array([0.1, 0.1, 5.0]))) == [1, 2, 0]


def test_suspects_are_the_nearest_of_each_class_first():
    distance = np.arange(100)[::-1]
    chosen = memorisation.suspects(distance, np.arange(100) % 3)
    assert list(chosen[:6]) == [99, 96, 97, 94, 98, 95]
    assert len(set(chosen)) == memorisation.COLUMNS


@pytest.mark.parametrize("study", [judges, memorisation, flow_beside_gans])
def test_what_is_no_generator_of_digits_costs_one_line(study, small, tmp_path, refused):
    for runs, words in (
        (["classifier"], "--runs: 'classifier' is a run of digit_classifier"),
        (["kana/gan"], "'kana/gan' is a run of vanilla_gan on 'kmnist', it must draw images like those of 'mnist'"),
        (["gan", "gan"], "--runs: 'gan' is not allowed, there is Vanilla GAN (2 epochs) already"),
        ([], "--runs: none given, choose from r3gan, dcgan"),
    ):
        assert words in refused(study.main, *flags(tmp_path, *runs))
    assert list(tmp_path.iterdir()) == []
