"""The command that compiles for machines that are not there: what it refuses, and what it reports."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import jax
import pytest
from studies.aot import compilation, compile_for, targets

from jaxgan.errors import UserError

SHAPES = "v5e takes chips in a shape, such as v5e:2x2"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            ["--target", "v5:2x2"],
            "--target: 'v5' is not known, choose from h100, v4, v5e, v5p, v6e; did you mean 'v5p'?",
        ),
        (["--target", "v5e"], f"--target: 'v5e' is not known, {SHAPES}"),
        (["--target", "v5e:2x2x2slice"], f"{SHAPES}, or slices, such as v5e:2x2x2slices"),
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
def test_a_mistake_costs_one_line_and_nothing_on_disk(argv, words, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        compile_for.main([*argv, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["no_such_compiler", "no_such_package.compiler"])
def test_a_missing_compiler_is_named_with_what_installs_it(package):
    with pytest.raises(UserError, match="the tpu compiler is not installed; pip install it"):
        targets.require_compiler("tpu", {"tpu": (package, "pip install it")})
    targets.require_compiler("tpu", {"tpu": ("jax.numpy", "")})
    assert jax.__version__ in targets.PACKAGES["cuda"][1]


def test_the_report_has_a_row_for_each_program_and_its_deviations():
    times = {"compute": 1e-6, "memory": 2e-6, "links": 3e-6, "seconds": 3e-6, "bound": "links"}
    row = {"recipe": "dcgan", "target": "v5e:4x4", "platform": "tpu", "chip": "TPU v5e", "parallel": "pmap"}
    row |= {"slices": 1, "hosts": 4, "batch_per_chip": 4, "flops": 2.5e8, "argument_bytes": 6e7, "temporary_bytes": 0}
    row |= {"aliased": 73, "state_arrays": 74, "aliased_bytes": 5_900_000, "collectives": {"all-reduce": 31}}
    row |= {"collective_bytes": 1_704_728, "gradient_bytes": 1_686_784, "products": 37, "products_taken_apart": 4}
    row |= {"roofline": times, "cycles": 467_214, "deviations": []}
    rows = [row, row | {"parallel": "shard_map", "deviations": [".count is not donated"]}]
    too_large = {"v5e:4x4": "RESOURCE_EXHAUSTED", "v4:1": None}
    words = compile_for.report({"about": {"jax": "0"}, "programs": rows, "too_large": too_large})
    assert "## TPU\n\nCompiled by the TPU compiler, not run." in words
    assert "CUDA" not in words
    first, second = (line for line in words.splitlines() if line.startswith("| dcgan"))
    cells = ["v5e:4x4, 4 hosts", "pmap", "4", "250.0", "60.00 MB", "0.00 MB", "73 of 74, 5.90 MB"]
    cells += ["31 all-reduce, 1.70 MB", "1.69 MB", "37 (4)", "3 µs, links", "467", "none |"]
    assert first.split(" | ")[1:] == cells
    assert second.endswith("| .count is not donated |")
    assert "- v4:1: no complaint" in words


def test_a_batch_is_raised_to_one_image_per_chip_or_refused():
    config = compile_for.RECIPES["dcgan"]
    target = targets.parse_target("v5e:16x16")
    with pytest.raises(UserError, match="multiple of the 256 chips"):
        compilation.fitted(config, target, batch_size=64)
    for given, found in ((512, 512), (None, 256)):
        run = dataclasses.replace(config.run, batch_size=found)
        assert compilation.fitted(config, target, batch_size=given) == dataclasses.replace(config, run=run)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the TPU compiler: the extra tpu-aot")
def test_a_recipe_compiles_for_a_chip_four_hosts_and_two_slices(tmp_path):
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
        assert row["deviations"] == []
        assert row["aliased"] == row["state_arrays"] == 70
        if row["target"] != slices:
            assert row["collectives"].keys() == ({"all-reduce"} if row["chips"] > 1 else set())
        assert (row["crossings"] > 0) == (row["target"] == slices)
        assert row["products"] > 30
    assert all("RESOURCE_EXHAUSTED" in complaint for complaint in results["too_large"].values())
