import dataclasses
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jaxgan import data
from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.fields import local_folder
from jaxgan.methods.dcgan import DCGAN
from jaxgan.runs import address, launch, mirror, tracking
from jaxgan.runs.flags import read_flags
from jaxgan.runs.task import prepare
from jaxgan.runs.workdir import Workdir
from tests.random_states import fresh_state
from tests.training import files_below, with_run

ADDRESS = "memory://bucket/run"


def test_a_run_names_every_file_it_wrote_and_prints_both_networks(finished_toy_run):
    printed = finished_toy_run.with_name("printed").read_text().replace("\n", "")
    folder = Workdir(finished_toy_run)
    written = [p for p in folder.root.rglob("*") if p.is_file() and folder.checkpoints not in p.parents]
    pictures = {"training.png", "progress.png", "samples.png"}
    assert {p.name for p in written} >= {"config.json", "metrics.jsonl", "epoch_0001.npy", *pictures}
    assert any("tfevents" in p.name for p in written)
    for path in [*written, folder.checkpoints / "9"]:
        assert str(path) in printed
    for words in ("Generator", "Discriminator", "hidden_0", "20 x 30", "total"):
        assert words in printed


def test_the_same_command_finds_nothing_to_do_and_more_epochs_go_on(start, finished, undrawn):
    before = finished.metrics.read_bytes()
    assert start() == 0
    assert finished.metrics.read_bytes() == before
    assert start("--epochs", 4) == 0
    assert finished.metrics.read_bytes().startswith(before)
    assert json.loads(finished.metrics.read_text().splitlines()[-1])["step"] == 12
    assert json.loads(finished.config.read_text())["run"]["epochs"] == 4


def test_a_dry_run_shows_config_networks_and_cost_and_writes_nothing(start, toy_config, capsys):
    assert start("--dry-run") == 0
    printed = capsys.readouterr().out
    assert not toy_config.run.workdir.exists()
    config, networks = ('"kind": "vanilla_gan"', '"hidden_units": 8'), ("Generator", "Discriminator", "302")
    for words in (*config, *networks, "One step of the whole batch", "MFLOP", "MiB", "1 cpu under jit"):
        assert words in printed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--epochs", "0"), "--epochs: 0 is not allowed"),
        (("--epochs", "many"), "--epochs"),
        (("--epohcs", "3"), "--epochs"),
        (("--prior", "unifrom"), "did you mean 'uniform'?"),
        (("--batch-size", "71"), "--batch-size: 71 is not allowed, mnist has 70 images"),
        (("--accumulate", "3"), "--accumulate: 3 is not allowed, it must divide a device's 20 images"),
        (("--devices", "3"), "--batch-size: 20 is not allowed, it must be a multiple of the 3 devices"),
        (("--devices", "9"), "--devices: 9 is not allowed, available cpu devices: 8"),
        (("--platform", "tpu"), "--platform: 'tpu' is not available, JAX finds cpu"),
        (("--profile", "5:10"), "--profile: '5:10' is not allowed, the run ends with step 9"),
        (("--evaluate-every", "4"), "--evaluate-every: 4 is not allowed, the run ends with epoch 3"),
        (("--resume", "must"), "--resume: 'must' needs a checkpoint"),
        (("--sweep", "dropout_rate=0.1,0.2", "--sweep=beta1=0.5"), "--sweep: is given 2 times, give all of its values"),
        (("--sample-epochs", "1", "--sample_epochs", "2"), "--sample-epochs: is given 2 times"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2_and_changes_nothing(not_started, toy_config, flags, words):
    error = not_started(*flags)
    assert words in error
    assert error.startswith("vanilla_gan: error: ")
    assert not toy_config.run.workdir.exists()


def test_an_unknown_data_set_is_told_the_nearest_name(toy_config, refused):
    command = partial(launch.main, toy_config)
    assert "did you mean 'mnist'?" in refused(command, "--data", "mnits", "--devices", "1")
    assert not toy_config.run.workdir.exists()


@pytest.mark.parametrize("flags", [("--latent-law", "normal"), ("--latent-law=normal",), ("--prior", "normal")])
def test_a_flag_is_known_by_its_earlier_name_too(toy_config, flags):
    assert read_flags(toy_config, flags).method.prior == "normal"


def test_a_run_without_an_intact_checkpoint_is_refused_and_stays(not_started, finished):
    for path in finished.checkpoints.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    before = files_below(finished.root)
    error = not_started("--epochs", 4)
    assert f"no checkpoint in {str(finished.checkpoints)!r} is intact" in error
    assert "give another --workdir" in error
    assert files_below(finished.root) == before


def test_a_loss_that_is_not_finite_is_named_with_an_array_and_not_saved(start, toy_config, capsys):
    rates = {"discriminator_learning_rate": 1e38, "generator_learning_rate": 1e38}
    config = dataclasses.replace(toy_config, method=dataclasses.replace(toy_config.method, **rates))
    assert start(default=config) == 1
    error = capsys.readouterr().err
    assert re.search(r"_loss is not finite at step \d, nor is \w+/\S+ after it", error)
    assert "no checkpoint was saved" in error
    assert error.count("\n") == 1
    assert not list(Workdir(config.run.workdir).checkpoints.glob("[0-9]*"))


def test_the_public_api_runs_a_config(finished, toy_config, toy_data):
    import jaxgan

    one_device = dataclasses.replace(toy_config.run, devices=1)
    assert jaxgan.run(jaxgan.Config(toy_config.method, one_device)) == finished.root
    assert all(getattr(jaxgan, name) is not None for name in jaxgan.__all__)
    assert isinstance(Run(), jaxgan.Run)


def test_runs_of_two_threads_take_turns(toy_config, monkeypatch):
    inside, most = [], []

    def alone(*args, **options):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        raise UserError("enough")

    monkeypatch.setattr(launch, "prepare", alone)
    with ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(launch.run, toy_config) for _ in range(2)]
        assert [str(each.exception()) for each in ended] == ["enough", "enough"]
    assert most == [1, 1]


@pytest.fixture
def conditional(toy_config):
    method = DCGAN(width=1, latent_size=2, conditional=True, generator_norm="none", discriminator_norm="none")
    return with_run(Config(method, toy_config.run), devices=1)


def of_classes(dataset, *names):
    dataset = dataset._replace(labels=dataset.labels % len(names), class_names=names)
    return lambda name, split="train", data_dir=None, image_size=None: dataset


@pytest.mark.slow
def test_networks_embed_the_classes_of_the_data_and_show_them(conditional, toy_dataset, monkeypatch):
    monkeypatch.setattr(data, "load", of_classes(toy_dataset, "circle", "square", "line"))
    task = prepare(conditional)
    state = fresh_state(task.method)
    assert state.generator.params["embedding"]["kernel"].shape == (3, 2)
    assert state.discriminator.params["output"]["kernel"].shape[-1] == 1 + 3
    shown = launch.visualizations(task.method, state, task.held_out, seed=0)
    assert len(shown["classes"].rows) == 3
    folder = Workdir(conditional.run.workdir)
    folder.root.mkdir()
    folder.metrics.write_text('{"step": 3, "epoch": 1.0, "loss": 2.0}\n')
    assert "classes" in {path.stem for path in tracking.draw(folder, title="Toy", visualizations=shown)}


def test_images_without_classes_cannot_be_conditioned_on(conditional, toy_dataset, monkeypatch):
    monkeypatch.setattr(data, "load", of_classes(toy_dataset, "face"))
    with pytest.raises(UserError, match="--conditional: the images have no classes"):
        launch.run(conditional)
    assert not conditional.run.workdir.exists()


def test_a_run_at_an_address_goes_on_where_nothing_of_it_is(finished, toy_config, toy_data, undrawn, bucket):
    with address.opened(ADDRESS) as store:
        address.give(store, finished.root, address.claim(store, finished.root, resume=True))
    flags = ["--workdir", ADDRESS, "--epochs", "4", "--devices", "1"]
    launch.main(toy_config, flags, finish=lambda _, folder: (folder / "made of it").touch())
    shutil.rmtree(local_folder(ADDRESS))
    left = Workdir(mirror.local_copy(ADDRESS))
    assert left.metrics.read_bytes().startswith(finished.metrics.read_bytes())
    assert json.loads(left.metrics.read_text().splitlines()[-1])["step"] == 12
    assert {path.name for path in left.checkpoints.iterdir()} == {"9", "12"}
    assert (left.root / "made of it").exists()


def test_objects_of_others_are_neither_taken_nor_replaced(not_started, bucket):
    MemoryFileSystem().pipe_file("/bucket/run/config.json", b"other")
    before = dict(bucket)
    words = f"{ADDRESS!r} holds '/bucket/run/config.json' but no run; give another address\n"
    assert not_started("--workdir", ADDRESS).endswith(words)
    assert bucket == before
