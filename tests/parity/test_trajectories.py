"""Both designs, trained side by side from the same weights, digits and random numbers."""

from functools import cache

import pytest
from imperative.parity import functional, imperative

from tests.parity import record
from tests.parity.agreement import assert_agree, assert_same_curves

STEPS = 200


@cache
def trajectories(kind, precision, steps):
    pytest.importorskip("torch").set_num_threads(1)
    weights, _ = record.read(kind)
    setting = record.setting(kind, precision=precision, steps=steps, looks=(1, 5, steps), weights=weights)
    return functional(setting), imperative(setting)


@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-9), (5, 1e-9), (STEPS, 1e-6)])
@pytest.mark.parametrize("kind", record.CONFIGS)
def test_in_double_precision_losses_gradients_weights_statistics_and_moments_are_the_twins(kind, steps, tolerance):
    ours, theirs = trajectories(kind, "float64", STEPS)
    first = lambda metrics: {name: curve[:steps] for name, curve in metrics.items()}
    assert_same_curves(first(ours.metrics), first(theirs.metrics), tolerance=tolerance)
    assert_agree(ours.looks[steps], theirs.looks[steps], tolerance=tolerance)


@pytest.mark.parametrize("kind", record.CONFIGS)
def test_in_single_precision_losses_stay_within_a_thousandth_for_a_hundred_steps(kind):
    ours, theirs = trajectories(kind, "float32", 100)
    assert_same_curves(ours.metrics, theirs.metrics, tolerance=1e-3)
    assert all(curve.dtype == "float32" for curve in ours.metrics.values())
