"""Every hazard's pairs: correct runs are what the designs' own programs give, mistaken ones do what is reported."""

import dataclasses
import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from comparing import hazards
from comparing.designs import FUNCTIONAL, PYTORCH
from comparing.hazards import functional_gradients, functional_runs, functional_state, functional_tracing
from comparing.hazards.pairs import NO_STATE, SILENT, Pair, Setting, body, effect, mistake, observe
from comparing.options import Options

from jaxgan import data
from jaxgan.data import Dataset

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), dtype=np.uint8)
SETTING = Setting(IMAGES, steps=4, batch_size=8, width=2, count=4, look_every=2)
SMALLER = dataclasses.replace(SETTING, images=IMAGES[:, :8, :8])  # what compiles sooner; the twins take 28 x 28

# What each pair is expected to show, in the order of the pairs.
IMPERATIVE = {
    "zero_grad": [SILENT],
    "detach": [SILENT, SILENT, "raises RuntimeError: Trying to backward through the graph a second time"],
    "eval": [SILENT, SILENT],
    "statistics": [SILENT],
    "stream": [SILENT],
    "key": [SILENT],
    "closure": [NO_STATE, SILENT],
    "tracer": [SILENT],
}
IN_JAX = {
    "zero_grad": [NO_STATE, SILENT, "raises RuntimeError: Array has been deleted"],
    "detach": [NO_STATE, SILENT],
    "eval": [NO_STATE, SILENT],
    "statistics": [NO_STATE, SILENT],
    "stream": [NO_STATE, SILENT],
    "key": [SILENT, SILENT, "raises KeyReuseError: Previously-consumed key", SILENT],
    "closure": [SILENT, NO_STATE],
    "tracer": ["raises UnexpectedTracerError", "raises Exception: Leaked trace", SILENT],
}


@functools.cache
def shown(design: str, name: str) -> list[dict]:
    """What the pairs of a hazard show."""
    if design == FUNCTIONAL:
        return [observe(pair, SMALLER) for pair in hazards.pairs(design)[name]]
    pytest.importorskip("torch").set_num_threads(1)
    return [observe(pair, SETTING) for pair in hazards.pairs(design)[name]]


@pytest.mark.slow
@pytest.mark.parametrize("name", hazards.HAZARDS)
@pytest.mark.parametrize(("design", "expected"), [(FUNCTIONAL, IN_JAX), (PYTORCH, IMPERATIVE)])
def test_a_mistake_is_silent_or_raises_or_has_nothing_to_reach_and_is_shown(name: str, design: str, expected: dict):
    found = shown(design, name)
    for one, happens in zip(found, expected[name], strict=True):
        assert one["happens"].startswith(happens), one
        assert any(line[0] in "-+" for line in one["mistake"].splitlines())
        differences = [values[key] for values in one["effects"].values() for key in values if key in MEASURES]
        assert bool(differences) != happens.startswith("raises")
        assert any(differences) == (happens == SILENT)
        assert all(np.isfinite(differences))


MEASURES = ("difference", "grey_levels")


def test_the_step_written_out_is_that_of_the_twin():
    pytest.importorskip("torch")
    from comparing.hazards import imperative_gradients, imperative_runs

    own, written = (
        imperative_runs.with_step(SETTING, step) for step in (imperative_runs.own_step, imperative_gradients.zeroed)
    )
    draw = imperative_gradients.detached
    orders = [
        imperative_gradients.with_draw(order)(SETTING, draw)
        for order in (imperative_gradients.zeroed_in_turn, imperative_gradients.zeroed_together)
    ]
    for other in (written, *orders):
        assert all(np.array_equal(values, other[name]) for name, values in own.items())


def test_a_detach_forgotten_where_gradients_are_zeroed_in_turn_costs_work_only():
    effects = shown(PYTORCH, "detach")[1]["effects"]
    different = {name for name, values in effects.items() if any(values.get(key, 0) for key in MEASURES)}
    assert different == {"gradient left in G by the loss of D"}


def test_the_running_statistics_moved_by_a_look_change_samples_and_no_loss():
    effects = shown(PYTORCH, "statistics")[0]["effects"]
    assert effects["samples"]["pixels"] > 0
    assert effects["loss of D"]["difference"] == effects["loss of G"]["difference"] == 0


def test_the_graph_of_a_sum_of_losses_grows_with_every_step():
    nodes = shown(PYTORCH, "tracer")[0]["effects"]["nodes of autograd's graph kept alive"]
    assert nodes["correct"] == 0
    assert nodes["mistaken"] > 10 * SETTING.steps


def test_pytorchs_random_numbers_go_on_where_they_were():
    torch = pytest.importorskip("torch")
    from comparing.hazards import imperative_runs, imperative_state

    before = torch.get_rng_state()
    imperative_runs.with_look(SETTING, imperative_state.seeded_globally)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_networks_by_one_gradient_with_a_stop_train_as_by_one_each():
    one_each = functional_gradients.with_discriminator(SMALLER, functional_gradients.generated_outside)
    at_once = functional_gradients.with_both(SMALLER, functional_gradients.stopped)
    # The generator's loss is on the latents of the discriminator's here, so only the discriminator's first is the same.
    assert at_once["loss of D"][0] == pytest.approx(one_each["loss of D"][0], rel=1e-5)


def with_nothing(setting: Setting, piece) -> dict:
    return {"value": np.array(piece())}


def one():
    return 1.0


def one_with_a_warning():
    """Warns, and is right."""
    import warnings

    warnings.warn("look out\nfor this", UserWarning, stacklevel=1)
    return 1.0


def broken():
    raise KeyError("gone")


def test_warnings_errors_and_equal_results_are_told_apart():
    def happens(correct, mistaken) -> str:
        return observe(Pair("", with_nothing, correct, mistaken), SETTING)["happens"]

    assert happens(one, one_with_a_warning) == "warns UserWarning: look out"
    assert happens(one_with_a_warning, one) == happens(one, one) == NO_STATE
    assert happens(one_with_a_warning, one_with_a_warning) == NO_STATE
    assert happens(one, broken) == "raises KeyError: 'gone'"
    with pytest.raises(KeyError):
        happens(broken, one)


def test_the_lines_shown_are_those_of_the_functions_that_run():
    assert body(one) == ["return 1.0"]
    assert body(functional_state.same_key) == ["return program.step(state, batch, key)"]
    assert mistake(Pair("", with_nothing, functional_runs.folded, functional_state.same_key)).splitlines() == [
        "-key = jax.random.fold_in(key, state.step)",
        " return program.step(state, batch, key)",
    ]


def test_images_are_compared_in_levels_of_grey_and_numbers_by_their_means():
    black = np.full((2, 1, 1, 1), -1.0)
    assert effect(black, -black) == {"grey_levels": 255, "pixels": 1}
    assert effect(black, black) == {"grey_levels": 0, "pixels": 0}
    assert effect(np.array([1.0, 3.0]), np.array([3.0, 1.0])) == {"correct": 2, "mistaken": 2, "difference": 2}


def test_batches_follow_the_data_and_begin_anew_at_its_end():
    setting = Setting(IMAGES[:6], steps=2, batch_size=4)
    first, second = setting.batches()
    assert np.array_equal(np.round((first + 1) * 127.5), IMAGES[:4])
    assert np.array_equal(np.round((second + 1) * 127.5), IMAGES[[4, 5, 0, 1]])


def test_the_section_shows_every_hazard_with_its_lines_and_what_was_not_measured(monkeypatch):
    dataset = Dataset("mnist", IMAGES, np.zeros(64, np.int32), tuple("0123456789"))
    monkeypatch.setattr(data, "load", lambda name, data_dir=None: dataset)
    pair = Pair("a program", with_nothing, functional_tracing.counted_outside, functional_tracing.counted_inside)
    observed = {"program": "a program", "mistake": mistake(pair), "happens": SILENT}
    observed["effects"] = {"loss": effect(np.array(1.0), np.array(2.0)), "D(x)": effect(np.zeros(2), np.zeros(2))}
    monkeypatch.setattr(hazards, "observe", lambda pair, setting: observed)
    monkeypatch.setattr(hazards.importlib.util, "find_spec", lambda name: None)
    measured = json.loads(json.dumps(hazards.measure(Options(steps=3))))
    text = hazards.section(measured)
    assert text.startswith("## Hazards")
    assert "3 steps of 64 images" in text
    for hazard in hazards.HAZARDS.values():
        assert f"### {hazard.title}\n" in text
        assert f"| {hazard.title} | {FUNCTIONAL} | a program | silent | loss 1 → 2 (1); the same D(x) |" in text
        assert f"| {hazard.title} | {PYTORCH} | | not measured | |" in text
    assert text.count("```diff") == len(hazards.HAZARDS)
    assert "-    counts.append(len(images))" in text
    assert hazards.summary(measured)[0].pytorch == "not measured"


def test_the_summary_counts_the_mistakes_themselves_apart_from_what_comes_besides():
    found = {FUNCTIONAL: IN_JAX, PYTORCH: IMPERATIVE}
    parts = {
        name: {"observed": {design: [{"happens": word} for word in of[name]] for design, of in found.items()}}
        for name in hazards.HAZARDS
    }
    itself, besides = hazards.summary({"hazards": parts})
    assert itself.functional == "2 silent, 5 without effect, 1 with an error, of 8"
    assert itself.pytorch == "7 silent, 1 without effect, of 8"
    assert besides.functional == "8 silent, 1 without effect, 3 with an error, of 12"
    assert besides.pytorch == "3 silent, 1 with an error, of 4"
