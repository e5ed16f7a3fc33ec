import builtins
import json
import sys
from pathlib import Path

import pytest

from jaxgan import methods
from jaxgan.config import VanillaGAN
from jaxgan.runtime.inspection import step_cost

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import benchmark
from benchmarking import competitors, report
from benchmarking.turns import take_turns


def fabricated(*, with_torch: bool, others: float | None = 0.02) -> dict:
    rates = {competitors.OURS: [900.0, 1000.0, 1100.0]}
    absent = dict.fromkeys(competitors.TWINS, "not installed")
    if with_torch:
        rates |= {competitors.EAGER: [300.0, 250.0, 200.0]}
        absent.pop(competitors.EAGER)
    shared = {"case": "vanilla_gan", "device": "cpu", "flops": 1e8, "rates": rates, "absent": absent}
    shared["others"] = {name: [others] * 3 for name in rates}
    return {
        "about": {"command": "python benchmark.py", "machine": "an abacus"},
        "comparisons": [{**shared, "threads": n, "peak_gflops": 100.0} for n in (1, 2)],
        "starts": {"cold": [6.0, 7.0, 9.0], "warm": [5.5, 6.0, 7.0]},
    }


def judged(results: dict) -> tuple[list, list]:
    required = {name: case.required for name, case in benchmark.CASES.items()}
    limits = benchmark.START_LIMITS
    return report.verdicts(results, required=required, ours=competitors.OURS, start_limits=limits)


@pytest.mark.parametrize(("layers", "units"), [(1, 100), (2, 400)])
def test_the_counted_products_are_nearly_all_that_xla_counts(layers: int, units: int):
    method, image_shape = VanillaGAN(hidden_layers=layers, hidden_units=units), (28, 28, 1)
    counted = competitors.vanilla_gan_flops(method, pixels=784, batch_size=64)
    by_xla = step_cost(methods.build(method, image_shape=image_shape), image_shape=image_shape, batch_size=64).flops
    assert counted == pytest.approx(by_xla, rel=0.05)
    assert counted < by_xla


def test_a_ratio_is_the_median_of_the_ratios_of_each_turn():
    comparison = fabricated(with_torch=True)["comparisons"][0]
    assert report.ratios(comparison, ours=competitors.OURS)[competitors.EAGER] == pytest.approx(4.0)


def test_every_requirement_is_judged_by_its_own_number():
    ratios, starts = judged(fabricated(with_torch=True))
    assert [v.met for v in ratios] == [True, True]
    assert [v.met for v in starts] == [True, False]
    assert "4.00 times" in ratios[0].text
    assert starts[1].text.startswith("NOT met")


def test_a_ratio_taken_on_crowded_cpus_is_never_met():
    ratios, _ = judged(fabricated(with_torch=True, others=0.9))
    assert not any(verdict.met for verdict in ratios)
    assert "other programs took 0.9 of its CPUs" in ratios[0].text


def test_where_the_system_does_not_tell_who_is_busy_ratios_are_judged():
    assert all(verdict.met for verdict in judged(fabricated(with_torch=True, others=None))[0])


def test_the_report_writes_table_numbers_and_figure(tmp_path: Path):
    results = fabricated(with_torch=True)
    found = [verdict for part in judged(results) for verdict in part]
    table, numbers, figure = report.write(results, found, ours=competitors.OURS, out=tmp_path)
    assert "| PyTorch eager | 250 | 200 to 300 | 4.00 | 4.00 | 25 | 25% | 0.02 |" in table.read_text()
    assert "an abacus" in table.read_text()
    assert json.loads(numbers.read_text())["comparisons"] == results["comparisons"]
    assert figure.read_bytes().startswith(b"\x89PNG")


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
    assert calls[3:] == list("abc") * 3
    assert all(len(turns) == 3 for part in (rates, others) for turns in part.values())


@pytest.mark.parametrize("flags", [["--threads", "0"], ["--repeats", "0"], ["--seconds", "nan"], ["--wrong"]])
def test_a_mistake_is_one_line_and_exit_code_two(flags: list[str], capsys: pytest.CaptureFixture, tmp_path: Path):
    with pytest.raises(SystemExit) as ended:
        benchmark.main([*flags, "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
