import io
import logging
import re
import socket
import time

import numpy as np
import pytest
import tensorboardX.writer
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from jaxgan.methods import build
from jaxgan.runs import tracking
from jaxgan.runs.logs import Events
from jaxgan.runs.workdir import Workdir, load_config, write_atomically
from tests.training import final_state, with_run

logging.getLogger("tensorboard").setLevel(logging.ERROR)


def read(folder):
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0})
    found.Reload()
    return found


def hyperparameters(found):
    """The fields of a run, and the names of the metrics beside them."""
    data = {tag: HParamsPluginData.FromString(c) for tag, c in found.PluginTagToContent("hparams").items()}
    fields = data["_hparams_/session_start_info"].session_start_info.hparams
    kinds = {name: getattr(value, value.WhichOneof("kind")) for name, value in fields.items()}
    assert data["_hparams_/session_end_info"].HasField("session_end_info")
    return kinds, {info.name.tag for info in data["_hparams_/experiment"].experiment.metric_infos}


def pixels(event):
    image = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
    assert (event.height, event.width) == image.shape[:2]
    return image


@pytest.fixture(scope="module")
def found(finished_toy_run):
    return read(Workdir(finished_toy_run).tensorboard)


def test_the_samples_of_an_epoch_are_a_grid_at_its_step(found, finished_toy_run):
    saved = tracking.read_samples(Workdir(finished_toy_run))
    shown = found.Images("samples")
    assert [event.step for event in shown] == [3 * epoch for epoch in saved]
    for event, images in zip(shown, saved.values(), strict=True):
        grid = pixels(event)
        assert grid.shape == (8 * 6, 8 * 5)
        np.testing.assert_array_equal(grid[6:12, 10:15], images[8 + 2, ..., 0])


def test_histograms_of_logits_are_those_of_images_in_evaluation_mode(found, finished_toy_run, toy_dataset):
    config, state = load_config(Workdir(finished_toy_run)), final_state(finished_toy_run)["state"]
    networks = build(config.method, image_shape=(6, 5, 1)).networks
    images = toy_dataset.images / np.float32(127.5) - 1
    apply, params = networks["discriminator"].module.apply, state["discriminator"]["params"]
    logits = np.asarray(apply({"params": params}, images))
    real, fake = (found.Histograms(f"logits/{name}") for name in ("real", "fake"))
    assert [event.step for event in real] == [event.step for event in fake] == [3, 6, 9]
    last = real[-1].histogram_value
    assert (last.num, sum(last.bucket)) == (70, 70)
    assert (last.min, last.max, last.sum) == pytest.approx((logits.min(), logits.max(), logits.sum()), abs=1e-3)
    assert fake[-1].histogram_value.num == 70
    assert fake[-1].histogram_value.min != last.min


def test_fields_stand_beside_the_last_number_of_each_metric(found, finished_toy_run):
    folder = Workdir(finished_toy_run)
    fields, metrics = hyperparameters(found)
    config = load_config(folder)
    assert fields["method"] == "vanilla_gan"
    assert {name: fields[name] for name in ("hidden_units", "ema_decay", "batch_size", "epochs", "seed")} == {
        "hidden_units": 8, "ema_decay": 0.9, "batch_size": 20, "epochs": 3, "seed": 0
    }  # fmt: skip
    assert fields["prior"] == config.method.prior
    assert "workdir" not in fields
    last = tracking.read_rows(folder.metrics)[-1]
    assert metrics == last.keys() - {"step"}
    assert {name: found.Scalars(name)[-1].value for name in metrics} == pytest.approx({n: last[n] for n in metrics})


def test_a_result_shows_pictures_and_the_fields_of_each_replica(toy_config, tmp_path):
    folder, config = Workdir(tmp_path), with_run(toy_config, replicas=2)
    rows = [f'{{"step": 3, "epoch": 1.0, "replica": {number}, "loss": 2.0}}\n' for number in (0, 1)]
    write_atomically(folder.metrics, "".join(rows))
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    Image.fromarray(picture).save(tmp_path / "classes.png")
    tracking.log_result(folder, config, shown=[tmp_path / "classes.png"])
    first, second = (read(folder.tensorboard / f"replica_{number}") for number in (0, 1))
    assert [hyperparameters(each)[0]["seed"] for each in (first, second)] == [0, 1]
    (event,) = first.Images("classes")
    np.testing.assert_array_equal(pixels(event), picture)
    assert event.step == 3
    assert second.Tags()["images"] == []


def test_a_finished_run_started_again_shows_nothing_twice(start, finished, undrawn):
    before = sorted(finished.tensorboard.iterdir())
    assert len(before) == 2  # curves with samples, and the result
    assert start() == 0
    assert sorted(finished.tensorboard.iterdir()) == before


def test_files_of_events_made_at_once_do_not_replace_each_other(tmp_path):
    for number in range(5):
        events = Events(tmp_path, step=0)
        events.add({"loss": float(number)}, step=number)
        events.close()
    assert [event.value for event in read(tmp_path).Scalars("loss")] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_curves_go_on_though_the_clock_went_back(tmp_path, monkeypatch):
    now = time.time_ns()
    for clock, steps in ((now, (1, 2, 3)), (now - 10**13, (3, 4))):
        monkeypatch.setattr(time, "time_ns", lambda clock=clock: clock)
        events = Events(tmp_path, step=steps[0] - 1)
        for step in steps:
            events.add({"loss": float(step)}, step=step)
        events.close()
    assert [event.step for event in read(tmp_path).Scalars("loss")] == [1, 2, 3, 4]


def test_a_tracker_that_follows_tensorboard_is_told_the_folder(tmp_path, monkeypatch):
    told = []

    class Follower:
        def __init__(self, folder):
            told.append(folder)

        def close(self):
            told.append("closed")

    Events(tmp_path / "alone", step=0).close()
    monkeypatch.setattr(tensorboardX.writer, "EventFileWriter", Follower)
    Events(tmp_path / "followed", step=0).close()
    assert told == [str(tmp_path / "followed"), "closed"]
    for folder in ("alone", "followed"):
        (path,) = (tmp_path / folder).iterdir()  # wandb reads no file of another pattern
        assert re.fullmatch(rf"events\.out\.tfevents\.\d+\.{re.escape(socket.gethostname())}\.\d+", path.name)


def test_what_is_not_finite_is_left_out_of_histograms(tmp_path):
    events = Events(tmp_path, step=0)
    some = {"some": np.array([1.0, np.nan, 3.0], np.float32), "none": np.array([np.inf], np.float32)}
    events.add_histograms(some, step=1)
    events.close()
    found = read(tmp_path)
    assert found.Tags()["histograms"] == ["some"]
    assert found.Histograms("some")[0].histogram_value.max == 3
