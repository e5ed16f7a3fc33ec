import io
import shutil

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.evaluation import protocol
from jaxgan.evaluation.report import Evaluation, Protocol, replica_table, table
from jaxgan.methods import build
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import launch
from jaxgan.runs.evaluate import evaluate_run
from jaxgan.runs.load import load_run
from jaxgan.runs.pictures import remember
from jaxgan.runs.task import training_images
from jaxgan.runs.workdir import Workdir
from tests.random_states import fresh_state
from tests.training import save_run


def run_on(folder, workdir, **fields):
    run = Run(workdir=workdir, data=str(folder), data_dir=workdir.parent / "cache", image_size=4, epochs=1)
    fields = {"batch_size": 50, "checkpoint_every": 1, "sample_epochs": (), "devices": 1, **fields}
    return Config(VanillaGAN(latent_size=2, hidden_units=3), Run(**{**vars(run), **fields}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on 130 random pictures without labels, whose folder may be added to."""
    root, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    (root / "pictures").mkdir()
    for i in range(130):
        Image.fromarray(rng.integers(0, 256, (5, 6), np.uint8)).save(root / "pictures" / f"{i}.png")
    launch.run(run_on(root / "pictures", root / "run"))
    return root


@pytest.mark.slow
def test_a_run_on_pictures_is_loaded_and_draws_without_them(trained):
    (trained / "pictures").rename(trained / "away")
    run = load_run(trained / "run")
    (trained / "away").rename(trained / "pictures")
    assert (run.image_shape, run.classes) == ((4, 4, 1), 1)
    assert run.sample(3).shape == (3, 4, 4, 1)


@pytest.mark.slow
def test_a_run_goes_on_with_pictures_that_were_moved(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "pictures", tmp_path / "moved")
    launch.run(run_on(tmp_path / "moved", tmp_path / "run", epochs=2))
    assert load_run(tmp_path / "run").config.run.data == str(tmp_path / "moved")
    Image.new("L", (6, 5)).save(tmp_path / "moved" / "new.png")
    with pytest.raises(UserError, match=r"^--data: '.*moved' has changed since the run in .* started"):
        launch.run(run_on(tmp_path / "moved", tmp_path / "run", epochs=2))


@pytest.mark.slow
def test_a_run_that_lost_the_description_of_its_pictures_is_refused(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "run" / "data.json").unlink()
    with pytest.raises(UserError, match=r"data.json' is missing, which describes the images of the run"):
        load_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"data.json' is missing"):
        launch.run(run_on(trained / "pictures", tmp_path / "run", epochs=2))


@pytest.mark.slow
def test_pictures_without_labels_are_evaluated_by_their_pixels(trained):
    found = evaluate_run(trained / "run")
    assert found.protocol.features == "pixels"
    assert found.protocol.n_fake + found.protocol.n_real == 130
    assert set(found.metrics) == {"precision", "recall", "density", "coverage", "nearest_training_distance"}
    assert found.metrics["precision"].floor > 0.5


@pytest.mark.slow
def test_a_stream_of_pictures_trains_the_same(trained, tmp_path):
    launch.run(run_on(trained / "pictures", tmp_path / "run", input="stream"))
    assert Workdir(tmp_path / "run").metrics.read_text() == Workdir(trained / "run").metrics.read_text()


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_pictures(trained):
    Image.new("L", (6, 5)).save(trained / "pictures" / "new.png")
    with pytest.raises(UserError, match=r"^--data: '.*pictures' has changed since the run in .* started"):
        launch.run(run_on(trained / "pictures", trained / "run", epochs=2))
    (trained / "pictures" / "new.png").unlink()
    with pytest.raises(UserError, match=r"^--workdir: '.*pictures' is the folder of --data, give another one"):
        launch.run(run_on(trained / "pictures", trained / "pictures"))


def test_pictures_with_labels_ask_for_a_classifier(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    np.savez(tmp_path / "set.npz", images=np.arange(8 * 16).reshape(8, 4, 4) * 2, labels=np.arange(8) % 2)
    config = run_on(tmp_path / "set.npz", tmp_path / "run", batch_size=4)
    method = build(config.method, image_shape=(4, 4, 1))
    save_run(config, method, states={2: fresh_state(method)}, image_shape=(4, 4, 1))
    remember(Workdir(tmp_path / "run"), training_images(config.run))
    with pytest.raises(
        UserError, match=r"train one with `jaxgan train digit_classifier --data .*set.npz --image-size 4`"
    ):
        evaluate_run(tmp_path / "run")


def test_a_run_is_evaluated_on_its_own_pictures_or_says_that_they_changed(tmp_path, caplog):
    path, pixels = tmp_path / "set.npz", np.random.default_rng(0).integers(0, 256, (130, 4, 4), np.uint8)
    np.savez(path, images=pixels)
    config = run_on(path, tmp_path / "run")
    method = build(config.method, image_shape=(4, 4, 1))
    save_run(config, method, states={2: fresh_state(method)}, image_shape=(4, 4, 1))
    remember(Workdir(tmp_path / "run"), training_images(config.run))
    np.savez(path, images=255 - pixels[:-1])
    evaluate_run(tmp_path / "run", count=100)
    assert "set.npz' has changed since the run in" in caplog.text
    np.savez(path, images=pixels, labels=np.arange(130) % 3)
    with pytest.raises(UserError, match=r"has changed since .* from 4 x 4 x 1 pixels in 1 classes to .* in 3 classes"):
        evaluate_run(tmp_path / "run", count=100)


@pytest.mark.slow
def test_pictures_without_labels_are_not_evaluated_while_training(trained):
    with pytest.raises(UserError, match=r"^--evaluate-every: pictures without labels and arrays"):
        launch.run(run_on(trained / "pictures", trained / "other", evaluate_every=1))
    assert not (trained / "other").exists()


def test_replicas_measured_by_pixels_have_a_table_of_what_there_is():
    numbers = {"precision": protocol.Number(0.5, 0.1, 0.9)}
    about = Protocol("own", "pixels", 20, 100, (0,), "floor")
    replicas = [{"replica": 0, "seed": 0, "metrics": {"precision": 0.25}}]
    made = replica_table(Evaluation({}, about, numbers, {}, replicas))
    assert [str(column.header) for column in made.columns][:2] == ["replica", "seed"]
    assert [list(column.cells) for column in made.columns] == [["0"], ["0"], ["0.25"]]


def test_a_class_in_brackets_is_named_in_the_table():
    about = Protocol("own", "own-1", 20, 100, (0,), "floor")
    made = table(Evaluation({"samples": "a.npz"}, about, {"share_[red]": protocol.Number(0.5, None, 0.4)}, {}))
    Console(file=(text := io.StringIO()), width=200).print(made)
    assert "share of [red]" in text.getvalue()
