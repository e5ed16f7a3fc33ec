"""What the speed benchmark measures and writes."""

import builtins
import json
import re
import time
from dataclasses import replace

import jax
import numpy as np
import pytest
from studies.speed import benchmark, loop, processes, report, scaling, starts
from studies.speed import programs as compared
from studies.speed.timing import crowding, interleaved, relative, steps_in

from jaxgan.config import Config, Run
from jaxgan.data import Dataset
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vanilla_gan import VanillaGAN

RNG = np.random.default_rng(0)
TOY = Dataset("toy", RNG.integers(0, 256, (64, 28, 28, 1), dtype=np.uint8), np.zeros(64, np.int32), ("0",))


def fabricated(*, others=0.02):
    """Results of a benchmark of the vanilla GAN, as numbers.json holds them."""
    rates = {compared.JAXGAN: [900.0, 1000.0, 1100.0], compared.EAGER: [300.0, 250.0, 200.0]}
    times = {"rates": rates, "others": {name: [others] * 3 for name in rates}}
    absent = {compared.COMPILED: "no C++ compiler"}
    speed = {"method": "vanilla_gan", "device": "cpu", "absent": absent, **times}
    point = {"batch_size": 64, "width": 32, "flops": 1e8, **times}
    return {
        "machine": "an abacus",
        "command": "python benchmark.py",
        "interleaved": "3 turns of 1 s",
        "speeds": [{**speed, "threads": 1}, {**speed, "threads": 2}],
        "starts": {"vanilla_gan": {compared.JAXGAN: {"cold": [6.0, 8.0], "warm": [3.0], "peak_bytes": [5e8, 6e8]}}},
        "scaling": {
            "threads": 1,
            "device": "cpu",
            "peak_gflops": 100.0,
            "sizes": [point, {**point, "batch_size": 256}],
        },
        "loop": {
            "method": "vanilla_gan",
            "steps": 2000,
            "calls": [0.4, 0.4],
            "host": [0.004, 0.0],
            "memory": [{"step": 2000, "arrays": 44, "bytes": 5 * 10**7, "resident": 6 * 10**8}],
        },
    }


def test_ratio_is_the_median_of_the_ratios_within_turns():
    assert relative([900.0, 1000.0, 1100.0], [300.0, 250.0, 200.0]) == pytest.approx(4.0)


def test_crowding_is_zero_where_the_system_does_not_tell():
    assert crowding([None, None]) == 0
    assert crowding([0.1, 0.5, None, 0.3]) == pytest.approx(0.3)


def test_report_has_one_row_per_program_with_rates_starts_and_memory():
    lines = report.markdown(fabricated()).splitlines()
    header = (
        "| method | program | steps/s, 1 thread | steps/s, 2 threads | first step, s: cold | warm | peak memory, MB |"
    )
    assert lines.count(header) == 1
    assert "| Vanilla GAN | jaxgan | 1,000 | 1,000 | 7.0 | 3.0 | 600 |" in lines
    assert "| Vanilla GAN | PyTorch eager | 250 (4.00) | 250 (4.00) |  |  |  |" in lines
    assert "| Vanilla GAN | PyTorch torch.compile | no C++ compiler | no C++ compiler |  |  |  |" in lines
    assert lines[2] == "an abacus; `python benchmark.py`"


def test_report_folds_sizes_and_the_loop():
    text = report.markdown(fabricated())
    assert text.count("<details>") == text.count("</details>") == 3
    assert "| 256 | 32 | 0.100 | PyTorch eager | 4.00 | 25.0 | 25% | 4.00 |" in text
    assert "takes 400 ms and the loop 2.00 ms after it (medians)" in text
    assert "0.5% of the time lies outside calls" in text
    assert "| 2,000 | 44 | 50.000 | 600.0 |" in text


def test_report_marks_rates_from_crowded_cpus():
    assert "1,000†" in report.markdown(fabricated(others=0.9))
    assert "1,000†" not in report.markdown(fabricated(others=None))


def test_report_writes_numbers_and_a_bar_per_program(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report.package_figures, "save", lambda figure, path: drawn.append(figure) or path)
    results = fabricated()
    files = report.write(results, out=tmp_path)
    assert [file.name for file in files] == ["report.md", "numbers.json", "speed.png"]
    assert json.loads(files[1].read_text()) == results
    (figure,) = drawn
    assert [axes.get_title() for axes in figure.axes] == ["Vanilla GAN, 1 thread", "Vanilla GAN, 2 threads"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1000.0, 250.0]


def test_report_leaves_out_what_was_not_measured(tmp_path):
    results = {**fabricated(), "speeds": [], "starts": {}, "scaling": {}, "loop": {}}
    assert [file.name for file in report.write(results, out=tmp_path)] == ["report.md", "numbers.json"]


def test_programs_train_in_turns():
    config = Config(VanillaGAN(hidden_units=4), Run(batch_size=32))
    chosen = (compared.MANY_DEVICES, compared.EAGER, compared.NNX)
    trains, absent = compared.programs("vanilla_gan", config, TOY, jax.devices()[:2], chosen=chosen)
    assert (trains.keys() | absent.keys()) == set(chosen)
    rates = interleaved(trains, repeats=2, seconds=0.01)["rates"]
    assert all(rate > 0 for turns in rates.values() for rate in turns)


def test_without_torch_every_pytorch_program_says_so(monkeypatch):
    real_import = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    config = Config(VanillaGAN(), Run(batch_size=32))
    trains, absent = compared.programs("vae", config, TOY, jax.devices()[:1], chosen=tuple(compared.PYTORCH))
    assert not trains
    assert absent == dict.fromkeys(compared.PYTORCH, "not installed")


def test_turns_alternate_between_programs():
    calls = []
    programs = {name: lambda steps, name=name: calls.append(name) for name in "abc"}
    found = interleaved(programs, repeats=3, seconds=1e-6)
    assert calls[-9:] == list("abc") * 3
    assert all(len(turns) == 3 for part in found.values() for turns in part.values())


def test_slow_step_is_taken_once_to_find_out_how_slow_it_is():
    calls = []

    def slow(steps):
        calls.append(steps)
        time.sleep(0.02 * steps)

    assert steps_in(slow, seconds=0.01) == 1
    assert calls == [1]
    assert 1 <= steps_in(slow, seconds=0.2) <= 10
    assert sum(calls) <= 10


def test_scaling_varies_one_size_at_a_time():
    pairs = scaling.sizes((16, 64, 256), (16, 32, 64))
    assert pairs == [(16, 32), (64, 32), (256, 32), (64, 16), (64, 64)]
    resized = scaling.resized(256, 16)
    assert (resized.run.batch_size, resized.method) == (256, DCGAN(width=16))


def test_loop_holds_the_same_arrays_after_few_and_many_calls(toy_config, toy_dataset):
    config = replace(toy_config, run=replace(toy_config.run, checkpoint_every=100, sample_epochs=()))
    found = loop.measure(config, toy_dataset, jax.devices()[:1], steps=24, memory_every=3)
    assert found["steps"] == 24
    assert len(found["calls"]) == len(found["host"]) > 5
    assert min(found["calls"]) > 0
    first, *_, last, _ = found["memory"]  # the last epoch ends with samples
    assert (first["step"], last["step"]) == (3, 21)
    assert (last["arrays"], last["bytes"]) == (first["arrays"], first["bytes"])
    assert first["bytes"] > toy_dataset.images.nbytes > 0


def test_first_step_is_timed_by_the_row_that_a_script_writes(tmp_path, monkeypatch):
    script = tmp_path / "toy.py"
    script.write_text(
        "import pathlib, sys, time\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--workdir') + 1])\n"
        "time.sleep(0.2)\n"
        "folder.mkdir(parents=True)\n"
        f"(folder / 'metrics.jsonl').write_text('row\\n' * {starts.MEMORY_STEPS})\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(starts, "EXPERIMENTS", tmp_path)
    found = starts.measure({"toy": (compared.JAXGAN, "no script")}, repeats=1, threads=1, data_dir=None)
    assert found["toy"].keys() == {compared.JAXGAN}
    seen = found["toy"][compared.JAXGAN]
    assert 0.2 < seen["cold"][0] < 30
    assert seen["peak_bytes"][0] is None or seen["peak_bytes"][0] > 1e6


def test_script_that_fails_is_named_with_its_last_line(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('no such thing')")
    with pytest.raises(RuntimeError, match=r"broken\.py ended with code 1: no such thing"):
        processes.watch([str(script)], started=lambda: False, threads=1, environment={})


@pytest.mark.slow
def test_benchmark_runs_at_small_sizes(tmp_path, mnist_dir):
    flags = ["--methods", "vanilla_gan", "--threads", "1", "--repeats", "1", "--seconds", "0.01", "--starts", "1"]
    flags += ["--batch-sizes", "4", "--widths", "--loop-steps", "1", "--data-dir", str(mnist_dir)]
    benchmark.main([*flags, "--out", str(tmp_path / "speed")])
    text = (tmp_path / "speed" / "report.md").read_text()
    assert "| Vanilla GAN | jaxgan |" in text
    assert text.count("<details>") == 3


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods", "vae", "dcgn"], "--methods: 'dcgn' is not known.*did you mean 'dcgan'"),
        (["--threads"], "--threads"),
        (["--threads", "0"], "--threads: 0 is not allowed"),
        (["--repeats", "0"], "--repeats: 0 is not allowed, it must be at least 1"),
        (["--widths", "0"], "--widths: 0 is not allowed"),
        (["--seconds", "nan"], "--seconds: nan is not allowed"),
        (["--wrong"], "--wrong"),
    ],
)
def test_wrong_flag_is_one_line_and_exit_code_two(flags, words, capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        benchmark.main([*flags, "--out", str(tmp_path)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(words, line)
