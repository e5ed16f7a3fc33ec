import json
import time

import jax
import numpy as np
import pytest
from studies.speed import benchmark, loop, report, starts
from studies.speed import programs as compared
from studies.speed.timing import interleaved, steps_in

from jaxgan.config import Config, Run
from jaxgan.data import Dataset
from jaxgan.methods.vanilla_gan import VanillaGAN
from tests.training import with_run

RNG = np.random.default_rng(0)
TOY = Dataset("toy", RNG.integers(0, 256, (64, 28, 28, 1), dtype=np.uint8), np.zeros(64, np.int32), ("0",))
RATES = {compared.JAXGAN: [900.0, 1000.0, 1100.0], compared.EAGER: [300.0, 250.0, 200.0]}
RESULTS = {
    "machine": "an abacus",
    "command": "python benchmark.py",
    "load": 0.1,
    "turns": "3 turns of 1 s",
    "start_count": 2,
    "speeds": [{"method": "vanilla_gan", "rates": RATES, "threads": threads} for threads in (1, 2)],
    "starts": {"vanilla_gan": {compared.JAXGAN: {"cold": [6.0, 8.0], "warm": [3.0, 3.0]}}},
    "scaling": [{"batch_size": size, "width": 32, "rates": RATES} for size in (64, 256)],
    "loop": {
        "method": "vanilla_gan",
        "steps": 2000,
        "calls": [0.4, 0.4],
        "between": [0.004, 0.0],
        "memory": [
            {"step": step, "arrays": 44, "arrays_mb": 50.0, "resident_mb": 600 + step / 500} for step in (1000, 2000)
        ],
    },
}


def test_report_has_one_row_per_program_with_rates_and_ratios():
    lines = report.markdown(RESULTS).splitlines()
    assert lines.count("| method | program | steps/s, 1 thread | steps/s, 2 threads |") == 1
    assert "| Vanilla GAN | jaxgan | 1,000 | 1,000 |" in lines
    assert "| Vanilla GAN | PyTorch eager | 250 (4.00) | 250 (4.00) |" in lines
    assert "| Vanilla GAN | jaxgan | 7.0 | 3.0 |" in lines
    assert lines[2] == "an abacus; `python benchmark.py`"


def test_report_folds_sizes_and_the_loop():
    text = report.markdown(RESULTS)
    assert text.count("<details>") == text.count("</details>") == 2
    assert "| 256 | 32 | 1.00 | 4.00 (4.00) | 256,000 |" in text
    assert "takes 400 ms, and the loop 2.00 ms between calls (medians)" in text
    assert "0.5% of the time lies between calls" in text
    assert "JAX holds 44 arrays of 50.000 MB and 44 arrays of 50.000 MB after 1,000 and 2,000 steps." in text
    assert "grows by 2.00 MB per 1,000 steps, from 602 MB" in text


def test_report_writes_numbers_and_a_bar_per_program(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report.package_figures, "save", lambda figure, path: drawn.append(figure))
    assert report.write(RESULTS, out=tmp_path) == tmp_path / "report.md"
    assert json.loads((tmp_path / "numbers.json").read_text()) == RESULTS
    (figure,) = drawn
    assert [axes.get_title() for axes in figure.axes] == ["Vanilla GAN, 1 thread", "Vanilla GAN, 2 threads"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1000.0, 250.0]


def test_report_leaves_out_what_was_not_measured(tmp_path):
    report.write({**RESULTS, "speeds": [], "starts": {}, "scaling": [], "loop": {}}, out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["numbers.json", "report.md"]


@pytest.mark.exhaustive
def test_programs_train_in_turns():
    config = Config(VanillaGAN(hidden_units=4), Run(batch_size=32))
    chosen = (compared.ALL_DEVICES, compared.EAGER, compared.NNX)
    trains = compared.programs("vanilla_gan", config, TOY, jax.devices()[:2], chosen=chosen)
    assert compared.ALL_DEVICES in trains
    rates = interleaved(trains, repeats=2, seconds=0.01)
    assert all(rate > 0 for turns in rates.values() for rate in turns)


def test_without_torch_there_is_no_pytorch_program(monkeypatch):
    monkeypatch.setattr(compared, "find_spec", lambda name: None)
    config = Config(VanillaGAN(), Run(batch_size=32))
    chosen = (compared.EAGER, compared.COMPILED)
    assert compared.programs("vae", config, TOY, jax.devices()[:1], chosen=chosen) == {}


def test_turns_alternate_between_programs():
    calls = []
    programs = {name: lambda steps, name=name: calls.append(name) for name in "abc"}
    found = interleaved(programs, repeats=3, seconds=1e-6)
    assert calls[-9:] == list("abc") * 3
    assert all(len(turns) == 3 for turns in found.values())


def test_slow_step_is_taken_once_to_find_out_how_slow_it_is():
    calls = []

    def slow(steps):
        calls.append(steps)
        time.sleep(0.02 * steps)

    assert steps_in(slow, seconds=0.01) == 1
    assert calls == [1]
    assert 5 <= steps_in(slow, seconds=0.2) <= 10
    assert sum(calls) <= 10


def test_scaling_varies_one_size_at_a_time():
    found = benchmark.sizes((16, 64, 256), (16, 32, 64))
    pairs = [(config.run.batch_size, config.method.width) for config in found]
    assert pairs == [(16, 32), (64, 32), (256, 32), (64, 16), (64, 64)]


@pytest.mark.exhaustive
def test_loop_holds_the_same_arrays_after_few_and_many_calls(toy_config, toy_dataset):
    config = with_run(toy_config, checkpoint_every=100, sample_epochs=())
    found = loop.measure(config, toy_dataset, jax.devices()[:1], steps=12, memory_every=3)
    assert found["steps"] == 12
    assert len(found["calls"]) == len(found["between"]) > 5
    assert min(found["calls"]) > 0
    first, *_, last, _ = found["memory"]  # the last epoch ends with samples
    assert (first["step"], last["step"]) == (3, 9)
    assert (last["arrays"], last["arrays_mb"]) == (first["arrays"], first["arrays_mb"])
    assert first["arrays_mb"] > toy_dataset.images.nbytes / 1e6 > 0


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setattr(starts, "EXPERIMENTS", tmp_path)
    return tmp_path / "toy.py"


def test_first_step_is_timed_by_the_row_that_a_script_writes(script):
    script.write_text(
        "import pathlib, sys, time\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--workdir') + 1])\n"
        "time.sleep(0.2)\n"
        "folder.mkdir(parents=True)\n"
        "(folder / 'metrics.jsonl').write_text('row')\n"
        "time.sleep(60)\n"
    )
    found = starts.measure("toy", 2, None)
    assert found.keys() == {compared.JAXGAN}  # there is no other script
    assert all(0.2 < seconds < 30 for kind in ("cold", "warm") for seconds in found[compared.JAXGAN][kind])
    assert len(found[compared.JAXGAN]["warm"]) == 2


def test_script_that_fails_is_named_with_what_it_said(script):
    script.write_text("raise SystemExit('no such thing')")
    with pytest.raises(RuntimeError, match=r"toy\.py took no step: no such thing"):
        starts.measure("toy", 1, None)


@pytest.mark.exhaustive
def test_benchmark_runs_at_small_sizes(tmp_path, mnist_dir):
    flags = ["--methods", "vanilla_gan", "--threads", "1", "--repeats", "1", "--seconds", "0.01", "--starts", "1"]
    flags += ["--batch-sizes", "4", "--widths", "--loop-steps", "1", "--data-dir", str(mnist_dir)]
    benchmark.main([*flags, "--out", str(tmp_path / "speed")])
    text = (tmp_path / "speed" / "report.md").read_text()
    assert "| Vanilla GAN | jaxgan |" in text
    assert text.count("<details>") == 2
