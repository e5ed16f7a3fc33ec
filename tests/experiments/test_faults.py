"""The study of faults: its recipes are all of them, and it sees what a kill would lose."""

from collections import Counter

import numpy as np
import pytest
from studies import faults

from jaxgan.config import Config, validate
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.recipes import RECIPES
from jaxgan.runs.flags import read_flags


def test_every_recipe_is_drilled_by_flags_that_it_understands():
    assert set(faults.SMALL) == set(RECIPES) - {"celeba"}
    for name, flags in faults.SMALL.items():
        config = read_flags(RECIPES[name].config, [*flags, *faults.COMMON])
        validate(config)
        assert config.run.epochs == faults.EPOCHS


def test_what_differs_or_is_missing_is_named():
    expected = {"metrics": b"1\n2\n", "samples/1": np.zeros(3), "figures/a.png": True}
    assert faults.compare(expected, dict(expected)) == []
    found = {"metrics": b"1\n2\n2\n", "samples/1": np.array([0, 0, 1]), "figures/b.png": True}
    assert faults.compare(expected, found) == ["figures/a.png", "figures/b.png", "metrics", "samples/1"]


def test_the_report_lists_each_recipe_and_each_difference():
    drilled = faults.Drill("dcgan", 3, Counter({"save": 1, "steps": 2}), 2, ["run 1: metrics"])
    text = faults.report([drilled])
    assert "| dcgan | 3 | 0 | 0 | 0 | 2 | 1 | 0 | 2 | 1 |" in text
    assert "- dcgan: run 1: metrics" in text


def test_the_cost_of_digests_is_their_share_of_a_save():
    found = faults.cost("vanilla_gan", Config(VanillaGAN(hidden_units=2)), saves=2)
    assert 0 < found.digests < found.save
    assert "| vanilla_gan | 2.5 | 50 | 0.50 | 1.0 % |" in faults.report_costs(
        [faults.Cost("vanilla_gan", 2.5, 0.05, 5e-4)]
    )


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_an_unbroken_one(tmp_path):
    faults.study(faults.Options(recipes=("dcgan",), kills=2, out=tmp_path))
    _, row = (tmp_path / "kills.md").read_text().split("| dcgan | 2 |")
    assert row.partition("\n")[0].endswith("| 0 |")
