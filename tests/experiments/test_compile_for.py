"""The command that compiles for machines that are not there: what it refuses, reports and ends with."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from jaxgan.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import compile_for
from aot import proof, report, targets


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            ["--target", "v5:2x2"],
            "--target: 'v5' is not known, choose from h100, v4, v5e, v5p, v6e; did you mean 'v5p'?",
        ),
        (["--target", "v5e"], "--target: 'v5e' is not known, v5e takes chips in a shape, such as v5e:2x2"),
        (
            ["--target", "v5e:2x2x2slice"],
            "v5e takes chips in a shape, such as v5e:2x2, or slices, such as v5e:2x2x2slices",
        ),
        (["--target", "v4:2x2"], "--target: 'v4:2x2' is not known, v4 takes chips in a shape, such as v4:2x2x1"),
        (["--recipes", "dcgna"], "did you mean 'dcgan'?"),
        (["--parallel", "pmpa"], "did you mean 'pmap'?"),
        (["--effort", "2"], "--effort: 2.0 is not allowed, it must be between -1 and 1"),
        (
            ["--target", "v5e:16x16", "--recipes", "dcgan", "--batch-size", "64"],
            "--batch-size: 64 is not allowed, it must be a multiple of the 256 chips of v5e:16x16",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_and_changes_nothing(argv, words, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(targets, "_missing", lambda package: False)
    with pytest.raises(SystemExit) as stopped:
        compile_for.main([*argv, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("platform", "words"), [("tpu", "'.[tpu-aot]'"), ("cuda", f"jax-cuda12-pjrt=={jax.__version__}")]
)
def test_a_missing_compiler_is_named_with_what_installs_it(platform, words, monkeypatch):
    monkeypatch.setattr(targets, "_missing", lambda package: True)
    with pytest.raises(UserError, match="compiler is not installed") as error:
        targets.require_compiler(platform)
    assert words in str(error.value)


def test_a_package_that_is_not_there_is_missing():
    assert targets._missing("no_such_compiler")
    assert targets._missing("no_such_package.compiler")
    assert not targets._missing("jax.numpy")


def test_the_report_says_what_was_proved_and_what_failed(tmp_path):
    times = {"compute": 1e-6, "memory": 2e-6, "links": 3e-6, "seconds": 3e-6, "bound": "links"}
    row = {
        "slices": 1,
        "recipe": "dcgan",
        "target": "v5e:4x4",
        "platform": "tpu",
        "chip": "TPU v5e",
        "hosts": 4,
        "parallel": "pmap",
    }
    row |= {"batch_a_chip": 4, "flops": 2.5e8, "argument_bytes": 6e7, "temporary_bytes": 0, "aliased_bytes": 5_900_000}
    row |= {"aliased": 73, "state_arrays": 74, "collectives": {"all-reduce": 31}, "collective_bytes": 1_704_728}
    row |= {
        "gradient_bytes": 1_686_784,
        "products": 37,
        "products_taken_apart": 4,
        "roofline": times,
        "cycles": 467_214,
    }
    rows = [row | {"failures": []}, row | {"parallel": "shard_map", "failures": [".count is not donated"]}]
    results = {"about": {"jax": "0"}, "programs": rows, "too_large": {"v5e:4x4": "RESOURCE_EXHAUSTED", "v4:1": None}}
    files = report.write(results, out=tmp_path)
    words = files[0].read_text()
    assert "## TPU: Compiled by the TPU compiler, not run." in words
    assert "H100" not in words
    good, bad = (line for line in words.splitlines() if line.startswith("| dcgan"))
    assert good.split(" | ")[1:] == [
        *(
            "v5e:4x4, 4 hosts",
            "pmap",
            "4",
            "250.0",
            "60.00 MB",
            "0.00 MB",
            "73 of 74, 5.90 MB",
            "31 all-reduce, 1.70 MB",
        ),
        *("1.69 MB", "37 (4)", "3 µs, links", "467", "yes |"),
    ]
    assert bad.endswith("| no: .count is not donated |")
    assert "- v4:1: NOT rejected" in words
    assert json.loads(files[1].read_text())["programs"] == rows


def test_what_cannot_be_shared_among_the_chips_is_not_compiled_and_what_can_is():
    config = compile_for.RECIPES["dcgan"]
    target = targets.parse_target("v5e:16x16")
    with pytest.raises(UserError, match="multiple of the 256 chips"):
        proof.fitted(config, target, batch_size=64)
    for given, found in ((512, 512), (None, 256)):
        assert proof.fitted(config, target, batch_size=given) == dataclasses.replace(
            config, run=dataclasses.replace(config.run, batch_size=found)
        )


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the TPU compiler: the extra tpu-aot")
def test_a_recipe_compiles_for_a_chip_a_slice_of_four_hosts_and_two_slices_and_has_every_property(tmp_path):
    chips = ["v5e:1x1", "v5e:4x4", "v5e:2x2x2slices"]
    command = [sys.executable, compile_for.__file__, "--target", *chips, "--recipes", "wgan"]
    done = subprocess.run([*command, "--effort", "-1", "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "compile_for.json").read_text())
    rows = {(row["target"], row["hosts"], row["parallel"]): row for row in results["programs"]}
    front_ends, slices = ("pmap", "shard_map"), "v5e:2x2x2slices"
    several = {(target, hosts, p) for target, hosts in (("v5e:4x4", 4), (slices, 2)) for p in front_ends}
    assert rows.keys() == {("v5e:1x1", 1, "jit")} | several
    for row in rows.values():
        assert row["failures"] == []
        assert row["aliased"] == row["state_arrays"] == 70
        if row["target"] != slices:
            assert row["collectives"].keys() == ({"all-reduce"} if row["chips"] > 1 else set())
        assert (row["crossings"] > 0) == (row["target"] == slices)
        assert row["products"] > 30
    assert all("RESOURCE_EXHAUSTED" in complaint for complaint in results["too_large"].values())
