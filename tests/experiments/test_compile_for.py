import dataclasses
import importlib.util
import json
import subprocess
import sys

import pytest
from studies.aot import compilation, compile_for

from jaxgan.errors import UserError
from jaxgan.runtime import targets


def test_a_missing_compiler_is_named_with_what_installs_it():
    with pytest.raises(UserError, match=r"the TPU compiler is not installed; python -m pip install -e '\.\[tpu-aot\]'"):
        targets.devices(targets.parse_target("v5e:1x1"), compiler="no_such_compiler")


def test_the_report_has_a_row_for_each_program_and_its_deviations():
    row = {"recipe": "dcgan", "target": "v5e:4x4", "parallel": "pmap", "hosts": 4, "batch_per_device": 4}
    row |= {"least_bytes": 4.2e7, "least_seconds": 5.13e-5}
    row |= {"flops": 2.5e8, "argument_bytes": 6e7, "temporary_bytes": 0, "aliased": 73, "state_arrays": 74}
    row |= {"collectives": {"all-reduce": 31}, "collective_bytes": 1_704_728, "gradient_bytes": 1_686_784}
    row |= {"products": 37, "products_taken_apart": 4, "deviations": []}
    rows = [row, row | {"parallel": "shard_map", "deviations": [".count is not donated"]}]
    too_large = {"v5e:4x4": "RESOURCE_EXHAUSTED", "v4:1": "no complaint"}
    results = {"machine": "an abacus", "command": "", "programs": rows, "too_large": too_large}
    words = compile_for.report(results)
    assert "Compiled by the TPU compiler, not run." in words
    first, second = (line for line in words.splitlines() if line.startswith("| dcgan"))
    cells = ["v5e:4x4, 4 hosts", "pmap", "4", "250.0", "42.0", "51.3", "60.00", "0.00", "73 of 74"]
    assert first.split(" | ")[1:] == [*cells, "31 all-reduce", "1.70", "1.69", "37 (4)", "none |"]
    assert second.endswith("| .count is not donated |")
    assert "- v4:1: no complaint" in words


@pytest.mark.parametrize(
    ("name", "operations", "bytes_moved", "expected"),
    [("v5e:1x1", 197e9, 1.0, 1e-3), ("v5e:4x4", 1.0, 819e6, 1e-3), ("tpu7x:1x1x1", 2307e9 / 2, 1.0, 1e-3)],
)
def test_the_roofline_is_that_of_a_device(name, operations, bytes_moved, expected):
    target = targets.parse_target(name)
    assert target.least_seconds(operations=operations, bytes_moved=bytes_moved) == pytest.approx(expected)


def test_a_batch_has_at_least_one_image_per_chip():
    config = compile_for.RECIPES["dcgan"]
    assert compilation.fitted(config, targets.parse_target("v5e:4x4")) == config
    fitted = compilation.fitted(config, targets.parse_target("v5e:16x16"))
    assert fitted == dataclasses.replace(config, run=dataclasses.replace(config.run, batch_size=256))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the TPU compiler: the extra tpu-aot")
def test_a_recipe_compiles_for_a_chip_and_for_four_hosts(tmp_path):
    command = [sys.executable, compile_for.__file__, "--target", "v5e:1x1", "v5e:4x4", "--recipes", "wgan"]
    done = subprocess.run([*command, "--effort", "-1", "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "compile_for.json").read_text())
    rows = {(row["target"], row["hosts"], row["parallel"]): row for row in results["programs"]}
    assert rows.keys() == {("v5e:1x1", 1, "jit"), ("v5e:4x4", 4, "pmap"), ("v5e:4x4", 4, "shard_map")}
    for row in rows.values():
        assert row["deviations"] == []
        assert row["aliased"] == row["state_arrays"] == 70
        assert row["collectives"].keys() == ({"all-reduce"} if row["hosts"] > 1 else set())
        assert row["products"] > 30
    assert all("RESOURCE_EXHAUSTED" in complaint for complaint in results["too_large"].values())
