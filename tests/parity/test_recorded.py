"""Our methods, and the twins themselves, against trajectories of the twins that were recorded."""

import re

import numpy as np
import pytest
from imperative.parity import functional, imperative

from tests.parity import record
from tests.parity.agreement import assert_agree, assert_same_curves


def assert_as_recorded(found, recorded):
    assert_same_curves(found.metrics, recorded.metrics, tolerance=1e-9)
    for steps, expected in recorded.looks.items():
        assert_agree({name: found.looks[steps][name] for name in expected}, expected, tolerance=1e-9)


@pytest.mark.parametrize("kind", record.CONFIGS)
def test_our_methods_go_the_way_that_was_recorded_of_the_twins(kind):
    weights, recorded = record.read(kind)
    ours = functional(record.setting(kind, weights=weights))
    assert ours.looks[record.STEPS].keys() == recorded.looks[record.STEPS].keys()
    assert_as_recorded(ours, recorded)


@pytest.mark.parametrize("kind", record.CONFIGS)
def test_the_twins_still_go_the_way_that_was_recorded(kind):
    pytest.importorskip("torch").set_num_threads(1)
    weights, recorded = record.read(kind)
    again = record.initial_weights(kind)
    assert weights.keys() == again.keys()
    assert_agree(again, weights, tolerance=0.0)
    theirs = imperative(record.setting(kind, weights=weights))
    assert theirs.looks[record.STEPS].keys() == recorded.looks[record.STEPS].keys()
    assert_as_recorded(theirs, recorded)


@pytest.mark.parametrize("kind", record.CONFIGS)
def test_a_record_is_small_and_says_what_made_it(kind):
    path = record.FOLDER / f"{kind}.npz"
    assert path.stat().st_size < 100_000
    with np.load(path) as file:
        versions = {name: str(file[name]) for name in file.files if name.startswith("version/")}
    assert versions.keys() == {f"version/{name}" for name in ("torch", "numpy", "jax")}
    assert all(re.match(r"\d+\.\d+", version) for version in versions.values())
