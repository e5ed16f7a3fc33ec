import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgan import figures
from jaxgan.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import functional_vs_imperative
from comparing import checkpoint_items as items
from comparing import processes, report, resuming, short_run
from comparing.designs import DESIGNS, FUNCTIONAL, NNX, PYTORCH
from comparing.options import METHODS, Options

ABOUT = {"command": "python x.py", "date": "a Monday", "machine": "an abacus"}


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # threads that spin suffer from other tests
    return torch


def fabricated(methods: tuple[str, ...] = METHODS) -> dict:
    losses = {"discriminator_loss": [[2.0, 1.0], [2.0, 1.5]], "gradient_penalty": [[0.0, 0.0], [0.0, 0.0]]}
    alike = {"float64": [0.0, 1e-15], "float32": [0.0, 0.25]}
    same, other = {"differ": []}, {"differ": ["parameters", "metrics"], "weights": 0.125, "losses": 0.5}
    rates = {FUNCTIONAL: [90.0, 100.0, 110.0], PYTORCH: [45.0, 40.0, 44.0], "PyTorch eager, tuned": [200.0] * 3}
    kinds = {"cold": [6.0], "warm": [5.0], "peak_bytes": [400_000_000]}
    started = {FUNCTIONAL: kinds, PYTORCH: {**kinds, "peak_bytes": [None]}}
    designs = {
        FUNCTIONAL: {"saved": {"parameters": 4000}, "without": {}, "again": same, "resumed": same},
        PYTORCH: {
            "saved": {"parameters": 4000, "random state": 5056},
            "without": {"random state": other},
            "again": same,
            "resumed": other,
        },
    }
    turns = {"rates": rates, "others": {name: [0.0] * 3 for name in rates}, "absent": {"torch.compile": "no compiler"}}
    return {
        "parts": {
            "trajectories": {
                method: {p: {"losses": losses, "apart": apart, "weights": 0.125} for p, apart in alike.items()}
                for method in methods
            },
            "speed": {
                "threads": 1,
                "turns": dict.fromkeys(methods, turns),
                "starts": dict.fromkeys(methods, started),
            },
            "resuming": dict.fromkeys(methods, designs),
        },
        "about": {"trajectories": ABOUT, "speed": ABOUT, "resuming": {**ABOUT, "date": "a Tuesday"}},
    }


def written(results: dict, out: Path) -> tuple[str, list[Path]]:
    modules = {name: importlib.import_module(f"comparing.{name}") for name in results["parts"]}
    files = report.write(results, modules, out=out)
    return files[0].read_text(), files


def test_the_report_answers_every_question_before_it_goes_into_detail(torch, tmp_path: Path):
    text, files = written(fabricated(), tmp_path)
    summary, *sections = text.split("\n## ")
    assert "| The same losses over 2 steps, float32? | at most 2e-01 apart | at most 2e-01 apart |" in summary
    assert "| dcgan: steps per second? | 100 | 44 (PyTorch eager, tuned: 200) |  |" in summary  # theirs is faster
    assert "| Peak memory, MB? | 400 |  |  |" in summary
    assert "| Killed and resumed: the same bytes as an unbroken run? | 4 of 4 methods | 0 of 4 methods |  |" in summary
    assert "|  | 12% (random state) |  |" in summary
    assert [section.partition("\n")[0] for section in sections[:3]] == [
        "The same training",
        "Speed and memory",
        "Resuming and repeating",
    ]
    assert "| vae | float32 | 0.0e+00 | 2.5e-01 | 1.2e-01 |" in text
    assert "| vae | imperative PyTorch | 44 | 40 to 45 | 2.50 |" in text
    assert "| vae | torch.compile | no compiler | | |" in text
    assert "| vae | imperative PyTorch | yes | no: parameters, metrics |" in text
    assert "| vae | imperative PyTorch | 4,000 | 5,056 | 9,056 |" in text
    assert "| vae | imperative PyTorch | random state | 1.2e-01 | 5.0e-01 | parameters, metrics |" in text
    assert "| resuming | a Tuesday: `python x.py` |" in text
    assert text.count("an abacus") == 1
    assert [file.name for file in files] == ["report.md", "numbers.json", "trajectories.png", "speed.png"]


def test_a_part_measured_again_leaves_the_others_numbers_in_the_report(torch, tmp_path: Path, monkeypatch):
    before = fabricated(("vae",))
    written(before, tmp_path)
    monkeypatch.setattr(resuming, "measure", lambda options: {"vae": {}})
    monkeypatch.setattr(functional_vs_imperative.data, "load", lambda *args, **kwargs: None)
    results = functional_vs_imperative.run(Options(parts=("resuming",), out=tmp_path))
    assert results["parts"] == {**before["parts"], "resuming": {"vae": {}}}
    assert results["about"]["speed"] == ABOUT != results["about"]["resuming"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods", "dcgn"], "did you mean 'dcgan'"),
        (["--parts", "sped"], "did you mean 'speed'"),
        (["--methods"], "--methods: none given"),
        (["--threads", "0"], "--threads: 0"),
        (["--steps", "500"], "--steps: 500"),
        (["--repeats", "0"], "--repeats: 0"),
        (["--seconds", "nan"], "--seconds: nan"),
        (["--starts", "-1"], "--starts: -1"),
        (["--wrong"], "wrong"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(flags, words, capsys, tmp_path: Path):
    with pytest.raises(SystemExit) as ended:
        functional_vs_imperative.main([*flags, "--out", str(tmp_path / "new")])
    message = capsys.readouterr().err
    assert (ended.value.code, len(message.strip().splitlines())) == (2, 1)
    assert words in message
    assert not (tmp_path / "new").exists()


def test_without_torch_it_says_in_one_line_what_to_install(capsys, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        functional_vs_imperative.main(["--out", str(tmp_path / "new")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip().endswith("run python -m pip install -e '.[imperative]'")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_both_designs_lose_alike_and_the_precision_shows(torch, mnist_dir):
    from comparing import trajectories

    options = Options(methods=("vanilla_gan",), steps=2, data_dir=mnist_dir)
    found = {p: trajectories.side_by_side("vanilla_gan", p, options) for p in trajectories.PRECISIONS}
    assert max(found["float64"]["apart"]) < 1e-12
    assert 1e-12 < max(found["float32"]["apart"]) < 1e-3
    ours, theirs = found["float32"]["losses"]["discriminator_loss"]
    assert ours == pytest.approx(theirs, rel=1e-3)
    assert len(ours) == 2


@pytest.mark.slow
def test_every_design_of_a_method_takes_its_turns(torch, mnist_dir):
    from benchmarking.competitors import EAGER
    from comparing import speed

    options = Options(repeats=2, seconds=0.01, data_dir=mnist_dir)
    found = speed.compare("vanilla_gan", options, twins={EAGER: {}})
    assert set(found["rates"]) == set(DESIGNS)
    assert all(rate > 0 for turns in found["rates"].values() for rate in turns)


def run_of(design: str, folder: Path, data_dir: Path, **how) -> short_run.ShortRun:
    return short_run.ShortRun(design, "vanilla_gan", str(folder), 2, data_dir=str(data_dir), **how)


@pytest.mark.parametrize(
    ("design", "moved", "saved"),
    [
        pytest.param(
            *(PYTORCH, items.RANDOM, {items.RANDOM: 5056, items.ORDER: 5056, items.STEP: 8}), marks=pytest.mark.slow
        ),
        pytest.param(FUNCTIONAL, items.OPTIMIZERS, {items.STEP: 4, items.SUMS: 7 * 4}, marks=pytest.mark.slow),
        pytest.param(NNX, items.RANDOM, {items.RANDOM: 24, items.STEP: 8}, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes_and_without_an_item_it_does_not(
    design, moved, saved, torch, mnist_dir, tmp_path
):
    unbroken = run_of(design, tmp_path / "unbroken", mnist_dir)
    short_run.train(unbroken)
    options = Options(data_dir=mnist_dir)
    killed = run_of(design, tmp_path / "killed", mnist_dir, kill_at=15)
    resuming.start([killed], options, cache=tmp_path / "programs", killed=True)
    whole = items.contents(design, Path(unbroken.folder))
    assert {item: sum(x.nbytes for x in arrays.values()) for item, arrays in whole.items()}.items() >= saved.items()
    resuming.shutil.copytree(killed.folder, tmp_path / "without")
    resumed, without = (run_of(design, tmp_path / name, mnist_dir) for name in ("killed", "without"))
    assert resuming.difference(resumed, resumed)["differ"] == []
    short_run.train(resumed)
    assert resuming.difference(resumed, unbroken) == {"differ": [], "weights": 0.0, "losses": 0.0}
    short_run.train(run_of(design, tmp_path / "without", mnist_dir, without=moved))
    found = resuming.difference(without, unbroken)
    assert {items.PARAMETERS, "metrics"} <= set(found["differ"])
    assert found["weights"] > 1e-4 < found["losses"]


def test_a_process_that_does_not_end_as_it_should_is_told_in_its_own_last_words(tmp_path: Path):
    broken = short_run.ShortRun("imperative Fortran", "vae", str(tmp_path), 1)
    with pytest.raises(RuntimeError, match="vae in imperative Fortran ended with code 1: KeyError"):
        resuming.start([broken], Options(), cache=tmp_path)


def test_a_watched_command_is_ended_when_it_came_far_enough_and_only_its_own_memory_counts(tmp_path: Path):
    ballast = np.ones(2**27, np.uint8)  # of the parent
    script, sign, end = (tmp_path / name for name in ("script.py", "sign", "end"))
    script.write_text(
        "import pathlib, time\n"
        "ballast = b'x' * 2**26\n"
        f"pathlib.Path({str(sign)!r}).touch()\n"
        "time.sleep(0.2)\n"
        f"pathlib.Path({str(end)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    seen = processes.watch([str(script)], started=sign.exists, finished=end.exists, threads=1, environment={})
    assert 0 < seen.seconds < 30
    if sys.platform == "linux":
        assert 2**26 < seen.peak_bytes < ballast.nbytes


def test_a_watched_command_that_fails_is_told_by_its_last_line(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('the reason')")
    with pytest.raises(RuntimeError, match=r"script.py ended with code 1: the reason"):
        processes.watch([str(script)], started=lambda: False, threads=1, environment={})


def test_two_trajectories_share_an_axis_and_a_difference_of_zero_leaves_a_gap():
    pair = figures.Pair({"loss": ([3.0, 2.0, 1.0], [3.0, 2.0, 1.5])}, {"float32": [0.0, 1e-7, 1e-3]})
    figure = figures.trajectories({"A": pair, "B": pair}, names=("ours", "theirs"), title="Toy")
    above, other, below, _ = figure.axes
    assert [axes.get_title() for axes in (above, other)] == ["A", "B"]
    assert [list(line.get_ydata()) for line in above.lines] == [[3, 2, 1], [3, 2, 1.5]]
    assert (below.get_yscale(), below.get_xlabel(), below.get_ylabel()) == ("log", "step", "relative difference")
    np.testing.assert_array_equal(below.lines[0].get_ydata(), [np.nan, 1e-7, 1e-3])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "theirs", "difference in float32"]


def test_numbers_are_read_back_as_they_were_written(torch, tmp_path: Path):
    results = fabricated(("vae",))
    written(results, tmp_path)
    assert report.read(tmp_path) == json.loads(json.dumps(results))
    assert report.read(tmp_path / "elsewhere") == {"about": {}, "parts": {}}
    (tmp_path / "numbers.json").write_text('{"about"')
    with pytest.raises(UserError, match=r"--out: '.*numbers.json' is damaged"):
        report.read(tmp_path)
