import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import data
from jaxgan.config import Config, Run
from jaxgan.runtime import launch, loop
from jaxgan.runtime.checkpoints import latest_step
from jaxgan.runtime.devices import select_devices
from jaxgan.runtime.workdir import Workdir, alone


@pytest.fixture
def start(toy_config, toy_dataset, monkeypatch):
    """Runs the command on the toy data, and returns its exit code."""
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None: toy_dataset)

    def start(*flags, default=toy_config):
        try:
            launch.main(default, [*map(str, flags), "--devices", "1"] if "--devices" not in flags else flags)
        except SystemExit as stopped:
            return stopped.code
        return 0

    return start


def test_a_run_names_every_file_it_wrote_and_prints_both_networks(start, toy_config, capsys):
    assert start() == 0
    printed = capsys.readouterr().out.replace("\n", "")
    folder = Workdir(toy_config.run.workdir)
    written = [p for p in folder.root.rglob("*") if p.is_file() and folder.checkpoints not in p.parents]
    assert {p.name for p in written} >= {
        *("config.json", "metrics.jsonl", "training.png", "progress.png", "samples.png"),
        *("epoch_0001.npy", "epoch_0002.npy", "epoch_0003.npy"),
    }
    assert any("tfevents" in p.name for p in written)
    for path in [*written, folder.checkpoints / "9"]:
        assert str(path) in printed
    for words in ("Generator", "Discriminator", "hidden_0", "20 x 30", "total"):
        assert words in printed


def test_the_same_command_again_finds_nothing_left_to_do_and_more_epochs_go_on(start, finished, undrawn):
    before = finished.metrics.read_bytes()
    assert start() == 0
    assert finished.metrics.read_bytes() == before
    assert start("--epochs", 4) == 0
    assert finished.metrics.read_bytes().startswith(before)
    assert json.loads(finished.metrics.read_text().splitlines()[-1])["step"] == 12
    assert json.loads(finished.config.read_text())["run"]["epochs"] == 4


def test_a_dry_run_shows_config_parameters_flops_and_memory_and_writes_nothing(start, toy_config, capsys):
    assert start("--dry-run") == 0
    printed = capsys.readouterr().out
    assert not toy_config.run.workdir.exists()
    for words in ('"hidden_units": 8', "MFLOP", "MiB", "302", "1 cpu under jit"):
        assert words in printed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--epochs", "0"), "--epochs: 0 is not allowed"),
        (("--epochs", "many"), "--epochs"),
        (("--epohcs", "3"), "--epochs"),
        (("--latent-law", "unifrom"), "did you mean 'uniform'?"),
        (("--batch-size", "71"), "--batch-size: 71 is not allowed, mnist has 70 images"),
        (("--devices", "3"), "--batch-size: 20 is not allowed, it must be a multiple of the 3 devices"),
        (("--devices", "9"), "--devices: 9 is more than the 8 cpu devices present"),
        (("--platform", "tpu"), "--platform: no 'tpu' device here, JAX finds cpu"),
        (("--profile", "5:10"), "--profile: '5:10' is not allowed, the run ends with step 9"),
        (("--resume", "must"), "--resume: 'must' needs a checkpoint"),
        (("--workdir", "/dev/null/run"), "--workdir: '/dev/null/run"),
        (("--workdir", __file__), "is a file, it must be a folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_and_changes_nothing(start, toy_config, capsys, flags, words):
    assert start(*flags) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("vanilla_gan: error: ")
    assert error.count("\n") == 1
    assert not toy_config.run.workdir.exists()


def test_an_unknown_data_set_is_told_the_nearest_name(toy_config, capsys):
    with pytest.raises(SystemExit, match="2"):
        launch.main(toy_config, ["--data", "mnits", "--devices", "1"])
    assert "did you mean 'mnist'?" in capsys.readouterr().err
    assert not toy_config.run.workdir.exists()


def snapshot(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--seed", 1), "--seed (0 in the run, 1 asked for)"),
        (("--beta1", 0.5, "--resume", "must"), "--beta1 (0.9 in the run, 0.5 asked for)"),
        (("--epochs", 2), "--epochs: 2 is not allowed, the run stands at epoch 3"),
    ],
)
def test_a_run_does_not_go_on_with_other_numbers_and_stays_as_it_was(start, finished, capsys, flags, words):
    before = snapshot(finished.root)
    assert start(*flags) == 2
    assert words in capsys.readouterr().err
    assert snapshot(finished.root) == before


def test_a_damaged_config_or_a_folder_of_something_else_is_refused(start, finished, capsys):
    finished.config.write_text("{")
    assert start() == 2
    assert "config.json: damaged" in capsys.readouterr().err
    finished.config.unlink()
    assert start("--resume", "never") == 2
    assert "no config.json of a run" in capsys.readouterr().err
    assert finished.metrics.exists()


def test_a_damaged_checkpoint_is_refused_and_stays(start, finished, capsys):
    for path in (finished.checkpoints / "9").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    before = snapshot(finished.root)
    assert start("--epochs", 4) == 2
    error = capsys.readouterr().err
    assert f"the checkpoint {str(finished.checkpoints / '9')!r} is damaged" in error
    assert "delete it to go on from step 6" in error
    assert snapshot(finished.root) == before


def test_resume_never_replaces_the_earlier_run(start, finished, undrawn):
    (finished.root / "notes.txt").write_text("mine")
    assert start("--resume", "never", "--seed", 1, "--epochs", 1) == 0
    assert [json.loads(line)["step"] for line in finished.metrics.read_text().splitlines()] == [2, 3]
    assert [p.name for p in finished.samples.iterdir()] == ["epoch_0001.npy"]
    assert (finished.root / "notes.txt").read_text() == "mine"


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(start, toy_config, capsys):
    folder = Workdir(toy_config.run.workdir)
    broken = dataclasses.replace(toy_config.method, discriminator_learning_rate=1e38, generator_learning_rate=1e38)
    config = Config(broken, dataclasses.replace(toy_config.run, workdir=folder.root / "broken"))
    assert start(default=config) == 1
    error = capsys.readouterr().err
    assert "a loss is not finite at step" in error
    assert "no checkpoint was saved before" in error
    assert error.count("\n") == 1
    assert not list((folder.root / "broken" / "checkpoints").glob("[0-9]*"))


def test_the_public_api_trains_and_samples(toy_dataset, toy_config, undrawn, monkeypatch):
    import jaxgan

    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None: toy_dataset)
    one_device = dataclasses.replace(toy_config.run, devices=1, epochs=1)
    assert jaxgan.run(jaxgan.Config(toy_config.method, one_device)) == one_device.workdir
    method = jaxgan.build(toy_config.method, image_shape=(6, 5, 1))
    images = method.sample(method.init(jax.random.key(0)), jax.random.key(1), 4)
    assert np.shape(images) == (4, 6, 5, 1)
    assert all(getattr(jaxgan, name) is not None for name in jaxgan.__all__)
    assert isinstance(Run(), jaxgan.Run)


def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(start, finished, capsys):
    before = snapshot(finished.root)
    with alone(finished):
        assert start("--epochs", 4) == 2
        assert "another run is at work" in capsys.readouterr().err
    assert snapshot(finished.root) == before


def test_resume_never_empties_a_folder_that_is_a_link_to_another_disk(start, finished, undrawn, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    finished.checkpoints.rename(elsewhere)
    finished.checkpoints.symlink_to(elsewhere)
    assert start("--resume", "never", "--epochs", 1) == 0
    assert [p.name for p in elsewhere.iterdir() if p.name.isdigit()] == ["3"]


@pytest.mark.parametrize(("batch_size", "count"), [(20, 5), (64, 8), (7, 7), (11, 1)])
def test_without_a_number_of_devices_a_run_takes_the_most_that_divide_the_batch(batch_size, count):
    assert len(select_devices(batch_size=batch_size)) == count


@pytest.mark.parametrize(
    ("name", "content"),
    [("metrics.jsonl", b'{"bad"}\n'), ("metrics.jsonl", b'{"a": 1}\n'), ("samples/epoch_0001.npy", b"")],
)
def test_a_damaged_file_of_the_run_is_named_in_one_line(start, finished, capsys, name, content):
    (finished.root / name).write_bytes(content)
    assert start() == 2
    error = capsys.readouterr().err
    assert str(finished.root / name) in error
    assert error.count("\n") == 1


def test_a_ruined_state_is_not_saved(toy_config, toy_dataset, monkeypatch):
    monkeypatch.setattr(loop, "finite", lambda state: False)
    with pytest.raises(loop.Diverged, match="a parameter is not finite"):
        loop.train(toy_config, toy_dataset, jax.devices()[:1], resume=False)
    assert latest_step(Workdir(toy_config.run.workdir).checkpoints) is None


def test_finite_looks_at_every_number_of_a_state():
    good = {"a": jnp.ones(3), "step": jnp.zeros((), jnp.int32), "b": {"c": jnp.zeros((2, 2))}}
    assert loop.finite(good)
    for bad in (jnp.nan, jnp.inf):
        assert not loop.finite({**good, "b": {"c": jnp.array([0, bad])}})
