import errno
import os
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, data
from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.evaluation import protocol, sample_files
from jaxgan.methods import METHODS, build
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import checkpoints
from jaxgan.runs.load import draw, load_run
from jaxgan.runs.sample import sample_run, write
from jaxgan.runs.sampler import batch_key, make_sampler
from tests.random_states import random_like
from tests.tiny import QUICK, a_run, tiny
from tests.training import raising, save_run

GENERATIVE = [kind for kind in METHODS if kind != "digit_classifier"]
CONDITIONAL = [kind for kind in GENERATIVE if "conditional" in METHODS[kind].config.__dataclass_fields__]


@pytest.mark.parametrize("step", [None, 5])
def test_a_checkpoint_that_training_replaces_meanwhile_is_followed_by_the_newest(folder, tmp_path, monkeypatch, step):
    root, usual = tmp_path / "run", checkpoints.restore
    shutil.copytree(folder, root)

    def restore(*args, **how):  # another checkpoint is saved, and this one is deleted
        if (root / "checkpoints" / "5").exists():
            (root / "checkpoints" / "5").rename(root / "checkpoints" / "6")
        return usual(*args, **how)

    monkeypatch.setattr(checkpoints, "restore", restore)
    if step is None:
        assert load_run(root).step == 6
    else:
        with pytest.raises(UserError, match=r"damaged|cannot be read"):
            load_run(root, step=step)


def conditional(kind):
    return a_run(tiny(kind, conditional=True))


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in GENERATIVE]
)
def test_samples_are_those_that_evaluation_measures(kind):
    run = a_run(tiny(kind))
    images, labels = draw(run, count=503, seed=4)
    expected = make_sampler(run.method)(run.state, 4, 503)
    assert np.max(np.abs(images.astype(int) - expected)) <= 1  # of two programs
    assert labels is None
    np.testing.assert_array_equal(run.sample(7, seed=4), images[:7])
    assert np.any(run.sample(7, seed=5) != images[:7])


def test_a_batch_of_samples_has_the_key_that_published_numbers_have():
    key = jax.random.key(4, impl="threefry2x32")
    expected = jax.random.fold_in(jax.random.fold_in(key, 5), 1)  # the sixth stream, the second batch
    assert np.all(jax.random.key_data(batch_key(4, np.int32(1))) == jax.random.key_data(expected))


@pytest.mark.parametrize(
    "kind", [kind if kind == "dcgan" else pytest.param(kind, marks=pytest.mark.slow) for kind in CONDITIONAL]
)
def test_labels_are_drawn_in_turn(kind):
    run = conditional(kind)
    images, labels = draw(run, count=12)
    np.testing.assert_array_equal(labels, np.arange(12) % 10)
    assert np.max(np.abs(images.astype(int) - make_sampler(run.method)(run.state, 0, 12))) <= 1
    assert draw(run, count=2, labels=7)[1].tolist() == [7, 7]
    sevens, chosen = draw(run, count=12, labels=[7, 3])
    assert chosen.tolist() == [7, 3] * 6
    np.testing.assert_array_equal(sevens[3], images[3])  # the same latents, and the same class
    assert np.any(sevens[0] != images[0])


def test_labels_of_the_data_give_the_samples_that_evaluation_measures():
    run = conditional("dcgan")
    images, labels = draw(run, count=600, labels="data")
    expected = data.load("mnist").labels[protocol.floor_choice(60_000, count=600)]
    np.testing.assert_array_equal(labels, expected)
    assert np.max(np.abs(images.astype(int) - make_sampler(run.method)(run.state, 0, 600, expected))) <= 1
    elsewhere = Run(data="/nowhere")
    with pytest.raises(UserError, match="--labels: 'data' needs the data of the run; give all, or numbers"):
        draw(run._replace(config=Config(run.config.method, elsewhere)), count=6, labels="data")


def test_truncation_shrinks_the_latents_until_samples_are_alike():
    run = a_run(tiny("vanilla_gan"))
    spread = [np.ptp(run.sample(20, truncation=factor).astype(int), axis=0).mean() for factor in (0.0, 0.3, 1.0)]
    assert spread[0] == 0 < spread[1] < spread[2]
    np.testing.assert_array_equal(run.sample(5, truncation=1.0), run.sample(5))


def test_the_last_parameters_are_not_the_averaged_ones():
    run = a_run(tiny("dcgan", ema_decay=0.5))
    last = run._replace(state=run.state.replace(averaged=run.state.generator.params))
    assert np.any(run.sample(4) != run.sample(4, averaged=False))
    np.testing.assert_array_equal(run.sample(4, averaged=False), last.sample(4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "--count: 0 is not allowed, it must be at least 1"),
        ({"count": 2.5}, "--count: 2.5 is not allowed"),
        ({"seed": -1}, "--seed: -1 is not allowed"),
        ({"seed": 1.5}, "--seed: 1.5 is not allowed"),
        ({"truncation": 1.5}, "--truncation: 1.5 is not allowed"),
        ({"labels": [3]}, "--labels: this run is unconditional"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        draw(a_run(tiny("vanilla_gan")), **{"count": 4, **options})


def test_a_class_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="--labels: 10 is not allowed, the classes are 0 to 9"):
        draw(conditional("dcgan"), count=4, labels=[1, 10])
    for labels in ([], "7", ["7"], [7.5], [[1, 2]]):
        with pytest.raises(UserError, match=r"--labels: .* is not allowed, give numbers of classes, from 0 to 9"):
            draw(conditional("dcgan"), count=4, labels=labels)
    with pytest.raises(UserError, match="a run of digit_classifier draws no images"):
        draw(a_run(tiny("digit_classifier")), count=4)


@pytest.mark.slow
def test_files_hold_the_samples_of_the_run(folder, tmp_path):
    expected = load_run(folder).sample(7, seed=2)
    paths = [tmp_path / name for name in ("grid.png", "all.npy", "all.npz", "folder")]
    for path in paths:
        cli.main(["sample", str(folder), "--out", str(path), "--count", "7", "--seed", "2"])
    grid = np.asarray(Image.open(paths[0]))
    assert grid.dtype == np.uint8
    for number, image in enumerate(expected[..., 0]):
        row, column = divmod(number, 3)
        height, width = image.shape
        step = (grid.shape[0] + 2) // 3, (grid.shape[1] + 2) // 3
        found = grid[row * step[0] :, column * step[1] :][:height, :width]
        np.testing.assert_array_equal(found, image)
    for path in paths[1:3]:
        np.testing.assert_array_equal(sample_files.read(path, image_shape=(28, 28, 1)), expected)
    pictures = sorted(paths[3].iterdir())
    assert [path.name for path in pictures] == [f"{i:06d}.png" for i in range(7)]
    np.testing.assert_array_equal([np.asarray(Image.open(path)) for path in pictures], expected[..., 0])
    assert not list(tmp_path.glob(".*"))


def test_colours_and_labels_are_written(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    write(images, np.array([2, 0, 2], np.int32), tmp_path / "some.npz")
    with np.load(tmp_path / "some.npz") as arrays:
        assert arrays["labels"].tolist() == [2, 0, 2]
        np.testing.assert_array_equal(arrays["images"], images)
    write(images, None, tmp_path / "folder")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "folder" / "000001.png")), images[1])


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        (("1", "2", "10"), {1: 0, 2: 1, 10: 2}),
        (("1", "10", "2"), {1: 0, 2: 2, 10: 1}),
        (("0", "1", "2"), {0: 0, 2: 2}),
        (("cat", "dog", "eel"), {0: 0, 2: 2}),
    ],
)
def test_classes_whose_names_are_numbers_are_drawn_by_name(tmp_path, monkeypatch, names, drawn):
    run = a_run(tiny("dcgan", conditional=True))._replace(class_names=names)
    monkeypatch.setattr("jaxgan.runs.sample.load_run", lambda folder, **how: run)
    for label, position in drawn.items():
        sample_run(tmp_path, out=tmp_path / "a.npz", count=2, labels=[label])
        arrays = np.load(tmp_path / "a.npz")
        assert arrays["labels"].tolist() == [label] * 2
        np.testing.assert_array_equal(arrays["images"], run.sample(2, labels=[position]))
    if "10" in names:
        with pytest.raises(UserError, match="--labels: 0 is not allowed, the classes are 1, "):
            sample_run(tmp_path, out=tmp_path / "a.npz", count=2, labels=[0])


def test_without_out_a_picture_is_drawn_beside_the_run(folder, tmp_path, capsys):
    run = shutil.copytree(folder, tmp_path / "run")
    cli.main(["sample", str(run)])
    assert capsys.readouterr().out.split() == [str(run / "drawn.png")]
    assert np.ptp(np.asarray(Image.open(run / "drawn.png"))) > 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--out", "there"], "'there' exists already; give another name"),
        (["--out", "some.gif"], "has the suffix '.gif', choose from .png, .npy, .npz, or a folder"),
        (["--out", "nowhere/a.png"], "'nowhere' is not a folder"),
        (["--labels", "seven"], "--labels: 'seven' is not allowed, give class numbers, or only all or data"),
        (["--labels", "7"], "--labels: this run is unconditional"),
        (["--best"], "kept no best checkpoint"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(folder, flags, words, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert words in refused(cli.main, "sample", folder, "--out", "new.png", *flags)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_folder_that_cannot_be_filled_leaves_nothing(tmp_path, monkeypatch):
    images = np.zeros((3, 4, 4, 1), np.uint8)
    monkeypatch.setattr("jaxgan.runs.sample.to_png", raising(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        write(images, None, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, OSError), (errno.EACCES, UserError)])
def test_a_full_disk_is_a_fault_of_the_machine(folder, tmp_path, monkeypatch, number, kind):
    monkeypatch.setattr("jaxgan.runs.sample.write_atomically", raising(number))
    with pytest.raises(kind, match=rf"--out: .* cannot be written \({os.strerror(number)}\)"):
        sample_run(folder, out=tmp_path / "new.png", count=1)


@pytest.mark.slow
def test_the_checkpoint_of_a_step_draws_what_its_state_did(tmp_path):
    config = Config(VanillaGAN(latent_size=3, hidden_units=4), Run(workdir=tmp_path / "run"))
    method = build(config.method, image_shape=(28, 28, 1))
    early, late = (
        random_like(jax.eval_shape(method.init, jax.random.key(0)), dtype=np.float32, seed=i) for i in (1, 2)
    )
    save_run(config, method, states={3: early, 5: late})
    drawn = {step: load_run(config.run.workdir, step=step).sample(2) for step in (3, 5, None)}
    np.testing.assert_array_equal(drawn[5], drawn[None])
    assert np.any(drawn[3] != drawn[5])
