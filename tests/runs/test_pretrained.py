import hashlib
import json
import shlex

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan import data
from jaxgan.cli import main
from jaxgan.config import Config, Run
from jaxgan.evaluation import feature_network, protocol, report
from jaxgan.methods import METHODS, build
from jaxgan.recipes import RECIPES
from jaxgan.runs import evaluate, load, pretrained
from jaxgan.runs.flags import read_flags
from tests.random_states import fresh_state

TINY = {"width": 4, "latent_size": 8}


def test_trained_generators_together_take_less_than_four_megabytes():
    files = {path.name.partition(".")[0]: path.stat().st_size for path in pretrained.SHIPPED.glob("*.safetensors")}
    assert set(files) == set(pretrained.manifest()) == {"r3gan", "dcgan", "vae", "flow_matching"}
    assert sum(files.values()) < 4_000_000


@pytest.mark.parametrize("name", sorted(pretrained.manifest()))
def test_manifest_has_command_and_quality_of_a_trained_generator(name):
    config, step, _ = pretrained.read(name)
    about = pretrained.manifest()[name]
    assert about["command"].startswith(f"python experiments/{name}.py")
    assert config.method == read_flags(RECIPES[name].config, shlex.split(about["command"])[2:]).method
    assert step == about["epochs"] * (60_000 // config.run.batch_size)
    assert 0 < about["quality"]["precision"] < 1


def test_trained_generator_draws_the_digit_that_is_asked_for():
    run = load.load_run("r3gan")
    images = run.sample(300, labels=[7, 3])
    _, probabilities = feature_network.load("mnist").extract(images)
    assert np.mean(np.argmax(probabilities, axis=1) == np.resize([7, 3], 300)) > 0.97


@pytest.mark.slow
def test_samples_are_evaluated_with_the_labels_of_the_floors_images():
    found = evaluate.evaluate_run("r3gan", count=500)
    shares = [found.metrics[f"share_{digit}"] for digit in range(10)]
    assert "the labels of the floor's images" in report.table(found).caption
    assert max(abs(share.mean - share.floor) for share in shares) < 0.012
    assert max(abs(share.floor - 0.1) for share in shares) > 0.02  # all classes in turn would differ


def test_trained_state_draws_by_the_functions_of_its_method():
    method, state = jaxgan.pretrained("vae")
    images = np.asarray(method.sample(state, jax.random.key(0), 4))
    assert images.shape == (4, 28, 28, 1)
    assert -1 <= images.min() < -0.9 < 0.5 < images.max() <= 1


@pytest.mark.slow
def test_encoded_state_draws_the_same_within_half_precision(tmp_path, monkeypatch):
    config = Config(METHODS["dcgan"].config(ema_decay=0.9, **TINY), Run(workdir="runs/dcgan"))
    method = build(config.method, image_shape=(28, 28, 1))
    state = fresh_state(method)
    content = pretrained.encode(config, state, step=7, leave_out=method.auxiliary)
    (tmp_path / "dcgan.safetensors").write_bytes(content)
    known = {"dcgan": {"sha256": hashlib.sha256(content).hexdigest()}}
    (tmp_path / "manifest.json").write_text(json.dumps(known))
    monkeypatch.setattr(pretrained, "SHIPPED", tmp_path)
    run = load.load_run("dcgan")
    assert (run.step, run.config) == (7, config)
    assert jax.tree.leaves(run.state.discriminator.params) == []
    drawn, expected = (
        method.generator(each).images(jax.numpy.ones((3, TINY["latent_size"]))) for each in (run.state, state)
    )
    np.testing.assert_allclose(drawn, expected, atol=2e-3)
    assert np.abs(expected).max() > 1e-2
    (tmp_path / "dcgan.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(jaxgan.UserError, match="not the weights of this version"):
        load.load_run("dcgan")


def test_sample_writes_a_picture_here_named_by_the_generator(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["sample", "r3gan", "--labels", "7", "--count", "4"])
    assert capsys.readouterr().out == "r3gan.png\n"
    assert [path.name for path in tmp_path.iterdir()] == ["r3gan.png"]


def test_arrays_have_the_classes_of_the_data_unless_others_are_asked_for(tmp_path):
    drawn = {}
    for flags in ((), ("--labels", "data"), ("--labels", "all"), ("--labels", "3", "5")):
        main(["sample", "r3gan", "--count", "40", "--out", str(tmp_path / "drawn.npz"), *flags])
        drawn[flags] = np.load(tmp_path / "drawn.npz")["labels"].tolist()
    of_data = data.load("mnist").labels[protocol.floor_choice(60_000, count=40)].tolist()
    assert list(drawn.values()) == [of_data, of_data, [*range(10)] * 4, [3, 5] * 20]


@pytest.mark.parametrize("flags", [["--step", "3"], ["--best"], ["--replica", "1"]])
def test_trained_generators_have_one_state(flags, refused):
    line = refused(main, "sample", "dcgan", *flags)
    assert line.startswith(f"jaxgan: error: {flags[0]}: is for the folder of a run")


def test_a_run_that_is_missing_is_told_with_the_trained_generators(refused):
    line = refused(main, "sample", "R3GAN")
    assert "'R3GAN': no such folder; give the --workdir of a run, or a pretrained" in line


def test_a_folder_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vae").mkdir()
    with pytest.raises(jaxgan.UserError, match="holds no run"):
        load.load_run("vae")
