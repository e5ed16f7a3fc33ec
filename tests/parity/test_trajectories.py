"""Both designs, trained from the same weights, digits and random numbers; and both against a record of the twins."""

import re
from functools import cache

import numpy as np
import pytest
from imperative.parity import functional, imperative

from tests.parity import record
from tests.parity.agreement import assert_agree, assert_as_recorded, assert_same_curves

LONG, SINGLE = 60, 40  # steps in double and in single precision


def kinds(*slow):
    """Parametrizes a test with every method, some of them only among the slow tests."""
    marked = [pytest.param(kind, marks=[pytest.mark.slow] if kind in slow else []) for kind in record.CONFIGS]
    return pytest.mark.parametrize("kind", marked)


def setting(kind, precision):
    weights, _ = record.read(kind)
    steps = LONG if precision == "float64" else SINGLE
    return record.setting(kind, precision=precision, steps=steps, snapshots=(1, record.STEPS, steps), weights=weights)


@cache
def ours(kind, precision):
    return functional(setting(kind, precision))


@cache
def theirs(kind, precision):
    pytest.importorskip("torch").set_num_threads(1)
    return imperative(setting(kind, precision))


@kinds("wgan")  # the record of its twin is compared in the fast tests
@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-9), (record.STEPS, 1e-9), (LONG, 1e-6)])
def test_float64_losses_gradients_weights_and_moments_match(kind, steps, tolerance):
    a, b = theirs(kind, "float64"), ours(kind, "float64")
    curves = ({name: curve[:steps] for name, curve in run.metrics.items()} for run in (b, a))
    assert_same_curves(*curves, tolerance=tolerance)
    assert_agree(b.snapshots[steps], a.snapshots[steps], tolerance=tolerance)
    if steps == record.STEPS:  # the first step after which every network of every method is updated
        assert {f"gradient/{name}" for name in parameters(a, steps)} <= b.snapshots[steps].keys()


def parameters(run, steps):
    return {name.removeprefix("exp_avg/") for name in run.snapshots[steps] if name.startswith("exp_avg/")}


@kinds("dcgan", "wgan")
def test_float32_losses_stay_within_a_thousandth(kind):
    # Of small networks. At the recipe's size PyTorch's own DCGAN in single precision is 2% away from itself in double
    # precision after a hundred steps.
    a, b = theirs(kind, "float32"), ours(kind, "float32")
    assert_same_curves(b.metrics, a.metrics, tolerance=1e-3)
    assert all(curve.dtype == np.float32 for curve in b.metrics.values())


@kinds("dcgan")
def test_functional_methods_match_the_recorded_twins(kind):
    assert_as_recorded(ours(kind, "float64"), record.read(kind)[1])


@kinds("wgan")
def test_twins_still_match_their_record(kind):
    weights, recorded = record.read(kind)
    assert_as_recorded(theirs(kind, "float64"), recorded)
    again = record.initial_weights(kind)
    assert again.keys() == weights.keys()
    assert_agree(again, weights, tolerance=0.0)


@kinds()
def test_record_is_small_and_names_its_versions(kind):
    path = record.FOLDER / f"{kind}.npz"
    assert path.stat().st_size < 100_000
    with np.load(path) as file:
        versions = {name: str(file[name]) for name in file.files if name.startswith("version/")}
    assert versions.keys() == {f"version/{name}" for name in ("torch", "numpy", "jax")}
    assert all(re.match(r"\d+\.\d+", version) for version in versions.values())
