"""What the benchmark measures, judges and writes."""

import builtins
import functools
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan import config as configs
from jaxgan.data import Dataset

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import benchmark
from benchmarking import competitors, overhead, report, scaling, verdicts
from benchmarking.rates import ratios as ratios_of
from benchmarking.turns import count_for, take_turns

TOY = Dataset(
    "toy", np.random.default_rng(0).integers(0, 256, (320, 28, 28, 1), dtype=np.uint8), np.zeros(320, np.int32), ("0",)
)


def fabricated(*, with_torch: bool, others: float | None = 0.02) -> dict:
    rates = {competitors.OURS: [900.0, 1000.0, 1100.0]}
    absent = dict.fromkeys(competitors.TWINS, "not installed")
    if with_torch:
        rates |= {competitors.EAGER: [300.0, 250.0, 200.0]}
        absent.pop(competitors.EAGER)
    shared = {"case": "vanilla_gan", "device": "cpu", "flops": 1e8, "rates": rates, "absent": absent}
    shared["others"] = {name: [others] * 3 for name in rates}
    points = [
        {"batch_size": batch, "width": width, "flops": 1e8, "rates": rates, "others": shared["others"]}
        for batch, width in scaling.points()
    ]
    alone = {"flops": 1e8, "rates": {competitors.OURS: rates[competitors.OURS]}, "others": shared["others"]}
    looks = [{"step": step, "arrays": 44, "bytes": 5 * 10**7, "resident": 6 * 10**8} for step in (1000, 2000)]
    loop = {"case": "vanilla_gan", "threads": 1, "device": "cpu", "steps": 2811, "calls": 9, "memory": looks}
    loop |= {"call": 0.4, "between": 0.001, "empty": 0.0002, "share": 0.003, "epochs": 0.005, "outside": 0.05}
    grown = {"case": "dcgan", "threads": 1, "device": "cpu", "points": points, "peak_gflops": 100.0}
    grown |= {"devices": {"forced": True, "points": [alone | {"devices": n} for n in (1, 2)]}, "roofline": None}
    return {
        "about": {"command": "python benchmark.py", "machine": "an abacus"},
        "comparisons": [{**shared, "threads": n, "peak_gflops": 100.0} for n in (1, 2)],
        "scaling": grown,
        "overhead": loop,
        "starts": {"cold": [6.0, 7.0, 9.0], "warm": [5.5, 6.0, 7.0]},
    }


def judged(results: dict) -> tuple[list, list]:
    required = {name: case.required for name, case in benchmark.CASES.items()}
    limits = benchmark.START_LIMITS
    return verdicts.verdicts(results, required=required, ours=competitors.OURS, start_limits=limits)


def test_a_ratio_is_the_median_of_the_ratios_of_each_turn():
    comparison = fabricated(with_torch=True)["comparisons"][0]
    assert ratios_of(comparison, ours=competitors.OURS)[competitors.EAGER] == pytest.approx(4.0)


def test_every_requirement_is_judged_by_its_own_number():
    ratios, starts = judged(fabricated(with_torch=True))
    assert [v.met for v in ratios] == [True, True]
    assert [v.met for v in starts] == [True, False]
    assert "4.00 times" in ratios[0].text
    assert starts[1].text.startswith("NOT met")


@pytest.mark.parametrize(("threads", "met"), [(1, False), (2, True), (8, True)])
def test_the_ratio_required_of_a_case_depends_on_the_number_of_threads(threads: int, met: bool):
    results = fabricated(with_torch=True)
    rates = {competitors.OURS: [14.0] * 3, competitors.EAGER: [10.0] * 3, competitors.STOCK: [1.0] * 3}
    others = {name: [0.0] * 3 for name in rates}
    dcgan = {"case": "dcgan", "threads": threads, "rates": rates, "others": others, "absent": {}}
    ratios, _ = judged({**results, "comparisons": [dcgan]})
    assert [verdict.met for verdict in ratios] == [met, True]
    assert "at least 8 times stock Flax layers: 14.00 times" in ratios[1].text


def test_a_ratio_taken_on_crowded_cpus_is_never_met():
    ratios, _ = judged(fabricated(with_torch=True, others=0.9))
    assert not any(verdict.met for verdict in ratios)
    assert "other programs took 0.9 of its CPUs" in ratios[0].text


def test_where_the_system_does_not_tell_who_is_busy_ratios_are_judged():
    assert all(verdict.met for verdict in judged(fabricated(with_torch=True, others=None))[0])


def test_the_report_writes_table_numbers_and_figure(tmp_path: Path):
    results = fabricated(with_torch=True)
    found = [verdict for part in judged(results) for verdict in part]
    table, numbers, *pictures = report.write(results, found, ours=competitors.OURS, out=tmp_path)
    assert "| PyTorch eager | 250 | 200 to 300 | 4.00 | 4.00 | 25.0 | 25% | 0.02 |" in table.read_text()
    assert "an abacus" in table.read_text()
    assert json.loads(numbers.read_text())["comparisons"] == results["comparisons"]
    assert "| 1024 | 32 | 0.100 | PyTorch eager | 4.00 | 25.0 | 25% | 256,000 | 4.00 | 0.02 |" in table.read_text()
    assert [picture.name for picture in pictures] == ["benchmark.png", "scaling.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_the_report_shows_devices_other_chips_and_the_loop(tmp_path: Path):
    results = fabricated(with_torch=True)
    row = {"recipe": "dcgan", "target": "v5e:4x4", "parallel": "pmap", "batch_a_chip": 4}
    compiled = {"programs": [row | {"roofline": {"seconds": 1.6e-5, "bound": "links"}}]}
    for known, words in ((None, "`compile_for.py` has not been run"), (compiled, "| pmap | 4 | 16.0 | links |")):
        results["scaling"]["roofline"] = known
        text = report.write(results, [], ours=competitors.OURS, out=tmp_path)[0].read_text()
        assert words in text
    assert "All of them are made of the same CPUs" in text
    assert "| 2 | 1.00 | 1.00 | 0.02 |" in text
    assert (
        "Between two calls the host takes 1.00 ms, and a call without a step 0.20 ms: together 0.30% of a call" in text
    )
    assert "| 2,000 | 44 | 50.000 | 600.0 |" in text


def test_the_time_between_calls_is_told_from_that_of_calls_and_from_that_between_epochs():
    waited_took_stop = [(9, 9, 1), (9, 9, 5), (1, 8, 10), (4, 7, 15), (1, 8, 20), (5, 6, 25)]
    calls = [overhead.Call(*call) for call in waited_took_stop]
    found = overhead.summary(calls, [0.5, 0.5, 9], steps_per_epoch=10)
    assert (found["call"], found["between"], found["empty"], found["epochs"]) == (8, 1, 0.5, 4.5)
    assert found["share"] == pytest.approx(1.5 / 8)
    assert found["outside"] == pytest.approx(11 / 40)
    assert (found["steps"], found["calls"]) == (25, 6)


@pytest.mark.slow
def test_the_loop_holds_the_same_arrays_after_two_calls_and_after_twenty(toy_config, toy_dataset, monkeypatch):
    monkeypatch.setattr(overhead, "EVERY", 3)
    config = replace(toy_config, run=replace(toy_config.run, checkpoint_every=100, sample_epochs=()))
    found = overhead.measure(config, toy_dataset, jax.devices()[:1], steps=30)
    assert found["steps"] == 30
    assert found["calls"] >= 20
    first, *_, last = found["memory"]
    assert (first["step"], last["step"]) == (3, 30)
    assert (last["arrays"], last["bytes"]) == (first["arrays"], first["bytes"])
    assert first["bytes"] > toy_dataset.images.nbytes > 0
    assert 0 < found["outside"] < 1


@pytest.mark.parametrize(("share", "more", "met"), [(0.003, 0, [True, True]), (0.02, 1, [False, False])])
def test_the_loop_is_held_against_one_percent_and_flat_memory(share: float, more: int, met: list[bool]):
    loop = fabricated(with_torch=True)["overhead"] | {"share": share}
    loop["memory"][-1]["arrays"] += more
    assert [verdict.met for verdict in verdicts.loop_verdicts(loop, most=benchmark.OVERHEAD_LIMIT)] == met


def test_what_was_not_measured_is_not_drawn(tmp_path: Path):
    results = {**fabricated(with_torch=True), "comparisons": [], "scaling": None, "overhead": None}
    files = report.write(results, [], ours=competitors.OURS, out=tmp_path)
    assert [file.name for file in files] == ["benchmark.md", "benchmark.json"]


def test_scaling_varies_one_size_at_a_time():
    assert set(scaling.points()) == {(16, 32), (64, 32), (256, 32), (1024, 32), (64, 16), (64, 64), (64, 128)}
    resized = scaling.case_of(256, 16).config
    assert (resized.run.batch_size, resized.method) == (256, configs.DCGAN(width=16))


@pytest.mark.slow
def test_a_step_is_timed_on_as_many_devices_as_there_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scaling, "DEVICES", (1, 2, 4))
    monkeypatch.setattr(scaling, "DCGAN", functools.partial(configs.DCGAN, width=2))
    found = scaling.over_devices(jax.devices()[:2], TOY, repeats=2, seconds=0.01)
    assert [point["devices"] for point in found] == [1, 2]
    assert all(rate > 0 for point in found for rate in point["rates"][competitors.OURS])
    assert len({point["flops"] for point in found}) == 1


def test_the_competitors_of_a_case_train_in_turns():
    case = competitors.CASES["vae"]
    twins = {name: competitors.TWINS[name] for name in (competitors.EAGER, competitors.TUNED)}
    trains, absent = competitors.competitors(case, TOY, devices=jax.devices()[:1], twins=twins)
    assert trains.keys() | absent.keys() == {competitors.OURS, *twins}
    rates, _ = take_turns(trains, repeats=2, seconds=0.01)
    assert all(rate > 0 for turns in rates.values() for rate in turns)


def test_without_torch_the_table_says_so_and_the_ratio_is_not_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real_import = builtins.__import__

    def without_torch(name: str, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    assert competitors.torch_device("cpu") == (None, "not installed")
    results = fabricated(with_torch=False)
    ratios, _ = judged(results)
    assert not any(verdict.met for verdict in ratios)
    table, *_ = report.write(results, ratios, ours=competitors.OURS, out=tmp_path)
    assert "| PyTorch eager | not installed |" in table.read_text()


def test_turns_alternate_between_the_competitors():
    calls = []
    runs = {name: lambda count, name=name: calls.append(name) for name in "abc"}
    rates, others = take_turns(runs, repeats=3, seconds=1e-6)
    assert calls[-9:] == list("abc") * 3
    assert all(len(turns) == 3 for part in (rates, others) for turns in part.values())


def test_a_slow_thing_is_not_done_again_to_find_out_how_slow_it_is():
    calls = []

    def slow(count: int) -> None:
        calls.append(count)
        time.sleep(0.02 * count)

    assert count_for(slow, seconds=0.01) == 1
    assert calls == [1]
    assert count_for(slow, seconds=0.2) == pytest.approx(10, abs=2)
    assert sum(calls) < 10


def test_an_unknown_case_is_told_in_one_line_with_the_nearest(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as ended:
        benchmark.main(["--cases", "vae", "dcgn"])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert len(message.strip().splitlines()) == 1
    assert "--cases: 'dcgn' is not known" in message
    assert "did you mean 'dcgan'?" in message


@pytest.mark.parametrize(
    "flags", [["--threads"], ["--threads", "0"], ["--repeats", "0"], ["--seconds", "nan"], ["--wrong"]]
)
def test_a_mistake_is_one_line_and_exit_code_two(flags: list[str], capsys: pytest.CaptureFixture, tmp_path: Path):
    with pytest.raises(SystemExit) as ended:
        benchmark.main([*flags, "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
