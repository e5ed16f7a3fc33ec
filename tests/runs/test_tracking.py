import gzip
import json
import shutil

import matplotlib.image
import numpy as np
import pytest

from jaxgan import cli
from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.methods import build
from jaxgan.methods.method import Plane, Rows, Sheet
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import launch, tracking
from jaxgan.runs.workdir import Workdir
from tests.random_states import fresh_state
from tests.training import save_run, train_config, with_run


def test_seconds_of_evaluation_are_no_seconds_of_training(tmp_path):
    folder = Workdir(tmp_path)
    folder.timings.write_text('{"step": 1, "epoch": 0.5, "seconds": 20.0}\n')
    with tracking.tracker(folder, step=1) as out:
        before = out.clock()
        assert before >= 20
        out.set_aside(1e6)
        assert out.clock() == pytest.approx(before - 1e6, abs=100)


def test_pictures_are_of_metrics_samples_and_visualizations(tmp_path):
    folder, images = Workdir(tmp_path), np.random.default_rng(0).uniform(-1, 1, (16, 6, 5, 1)).astype(np.float32)
    folder.metrics.write_text('{"step": 3, "epoch": 1.0, "loss": 2.0}\n{"step": 6, "epoch": 2.0, "loss": 1.0}\n')
    for epoch in (1, 2):
        tracking.save_samples(folder, np.full((16, 6, 5, 1), 100 * epoch, np.uint8), epoch=epoch)
    shown = {
        "pairs": Rows("Pairs", {"a": images[:4], "b": -images[:4]}),
        "sheet": Sheet("Sheet", images[:6], 3),
        "plane": Plane("Plane", images[:, 0, :2, 0], np.arange(16) % 10),
    }
    files = tracking.draw(folder, title="Toy", visualizations=shown)
    assert [path.stem for path in files] == ["training", "progress", "samples", "pairs", "sheet", "plane"]
    reds = {path.stem: np.round(255 * matplotlib.image.imread(path)[::3, ::3, 0]) for path in files}
    share = lambda name, level: np.mean(reds[name] == level)  # of the picture
    assert share("samples", 200) > 0.3 > 0.01 > share("samples", 100)
    assert min(share("progress", 100), share("progress", 200)) > 0.01
    assert all(len(np.unique(reds[name])) > 20 for name in ("training", "pairs", "sheet", "plane"))


def calls_in(folder):
    """The calls in the only trace in a folder, as pairs of steps, and what else was traced."""
    (path,) = folder.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    calls = [event["args"] for event in events if event.get("name") == "train"]
    return [(int(call["step_num"]), int(call["stop"])) for call in calls], {event.get("name") for event in events}


@pytest.mark.slow
def test_a_trace_holds_the_steps_asked_for_and_changes_no_number(toy_config, toy_dataset, finished_toy_run):
    train_config(with_run(toy_config, profile="4:7"), toy_dataset)  # row ends: 2, 3, 5, 6, 8, 9
    plain, profiled = Workdir(finished_toy_run), Workdir(toy_config.run.workdir)
    assert profiled.metrics.read_bytes() == plain.metrics.read_bytes()
    calls, names = calls_in(profiled.profile)
    assert calls == [(4, 5), (5, 6), (6, 7)]
    assert "ThunkExecutor::Execute" in names
    named = [path for path in profiled.files() if profiled.profile in path.parents]
    assert {"".join(path.suffixes[-2:]) for path in named} == {".xplane.pb", ".json.gz"}
    assert not plain.profile.exists()


def test_what_was_traced_before_a_failure_is_kept(tmp_path):
    def fail():
        with tracking.profiler(tmp_path, range(2, 9), step=0) as recorded:
            for start in range(0, 9, 2):
                with recorded(start, start + 2):
                    _ = 1 / (start - 4)

    with pytest.raises(ZeroDivisionError):
        fail()
    assert calls_in(tmp_path)[0] == [(2, 4), (4, 6)]


def test_a_run_beyond_the_steps_to_trace_says_so_and_traces_nothing(tmp_path, caplog):
    with tracking.profiler(tmp_path, range(2, 4), step=4) as recorded, recorded(4, 6):
        pass
    assert "nothing is traced, the run is already at step 4" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("row", ['{"step": 2}', "[1]", '{"step": 2, "epoch": "x"}', "[" * 100_000, '{"step": 2'])
def test_a_damaged_row_is_named_by_its_line_and_its_neighbours_need_not_be_deleted(tmp_path, row):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1, "epoch": 1.0}}\n{row}\n{{"step": 3, "epoch": 3.0}}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl': line 2 is damaged .*; repair it, or move the file away"):
        tracking.read_rows(path)


@pytest.mark.parametrize("array", [np.zeros((4, 5, 5, 1), np.uint8), np.zeros((4, 6, 5, 1)), np.array([None])])
def test_samples_of_another_shape_or_type_are_named(tmp_path, array):
    folder = Workdir(tmp_path)
    tracking.save_samples(folder, np.zeros((4, 6, 5, 1), np.uint8), epoch=1)
    np.save(folder.samples / "epoch_0002.npy", array)
    with pytest.raises(UserError, match=r"^--workdir: .*epoch_0002.npy' is"):
        tracking.read_samples(folder)


def test_figures_are_drawn_again_and_a_folder_without_a_run_is_told(tmp_path, monkeypatch, capsys, refused):
    monkeypatch.setattr(launch, "held_out_images", None)  # gone, and none of them is drawn
    config = Config(VanillaGAN(hidden_units=2), Run(workdir=tmp_path / "run"))
    method, folder = build(config.method, image_shape=(28, 28, 1)), Workdir(config.run.workdir)
    save_run(config, method, states={2: fresh_state(method)})
    folder.metrics.write_text('{"step": 1, "epoch": 1, "loss": 2.0}\n{"step": 2, "epoch": 2, "loss": 1.0}\n')
    drawn = folder.figures / "training.png"
    without = (
        f"jaxgan: warning: '{folder.root}' has no checkpoint: its figures are drawn from metrics and samples alone"
    )
    for said in ("", f"{without}\n"):
        cli.main(["figures", str(folder.root)])
        assert capsys.readouterr() == (f"{drawn}\n", said)
        assert np.ptp(matplotlib.image.imread(drawn)) > 0.5
        drawn.unlink()
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    folder.metrics.unlink()
    for root, words in ((folder.root, "has no checkpoint yet"), (tmp_path / "absent", "no such folder")):
        assert words in refused(cli.main, "figures", root)
