"""Mistakes with hidden state: each wrong program does what the report says, beside a right one that does not."""

import runpy

import numpy as np
import pytest

pytest.importorskip("torch")

from studies.design import hazards, mistakes
from studies.design.hazards import FUNCTIONAL, IMPERATIVE, Pair, observe, recorded_loss

EXPECTED = {  # what happens, in PyTorch and in JAX
    "forgotten_detach": ("silent", "no effect"),
    "forgotten_eval_mode": ("silent", "silent"),
    "forgotten_zero_grad": ("silent", "silent"),
    "recorded_loss": ("silent", "raises UnexpectedTracerError"),
    "reused_key": ("silent", "silent"),
    "shared_random_stream": ("silent", "silent"),
    "stale_closure": ("silent", "silent"),
    "statistics_of_the_wrong_pass": ("silent", "no effect"),
}


@pytest.fixture(scope="module")
def found():
    return {mistakes.name(module): (module, outcomes) for module, outcomes in mistakes.measure()}


@pytest.mark.slow
def test_there_are_eight_mistakes_and_each_does_what_is_expected(found):
    happens = {name: tuple(outcome.happens for outcome in outcomes) for name, (_, outcomes) in found.items()}
    assert happens == EXPECTED
    assert all([one.design for one in outcomes] == [IMPERATIVE, FUNCTIONAL] for _, outcomes in found.values())


@pytest.mark.slow
def test_each_outcome_shows_the_wrong_lines_and_its_effects(found):
    for module, outcomes in found.values():
        assert mistakes.title(module)
        assert "\n\n" in mistakes.explanation(module)
        for outcome in outcomes:
            assert any(line[0] in "+-" for line in outcome.lines.splitlines())
            assert outcome.happens.startswith("raises") == (not outcome.wrong)
            assert all(np.isfinite(array).all() for array in [*outcome.right.values(), *outcome.wrong.values()])
            moved = [words for _, words in hazards.effects(outcome) if words != "the same"]
            assert bool(moved) == (outcome.happens == "silent")


@pytest.mark.slow
def test_the_loss_of_a_discriminator_leaves_a_gradient_only_if_undetached(found):
    imperative = found["forgotten_detach"][1][0]
    (strays, samples), (wrong_strays, _) = imperative.right.values(), imperative.wrong.values()
    assert not strays.any()
    assert (wrong_strays > 0.1).all()
    assert samples.shape == (64, 8, 8, 1)


@pytest.mark.slow
def test_each_look_in_training_mode_lowers_the_logits_after_it(found):
    outcome = found["statistics_of_the_wrong_pass"][1][0]
    right, wrong = (np.diff(one["mean logit of spots"]) for one in (outcome.right, outcome.wrong))
    looks = np.arange(hazards.LOOK_EVERY - 2, len(wrong), hazards.LOOK_EVERY)
    assert (wrong[looks] < 0).all()
    assert (right > -0.05).all()


@pytest.mark.slow
def test_the_graph_of_summed_losses_grows_with_every_step(found):
    outcome = found["recorded_loss"][1][0]
    assert not outcome.right["graph nodes alive"].any()
    assert (np.diff(outcome.wrong["graph nodes alive"]) > 5).all()
    assert outcome.wrong["mean loss"] == pytest.approx(outcome.right["mean loss"], rel=1e-5)


@pytest.mark.slow
def test_a_compiled_closure_keeps_the_weights_of_its_first_call(found):
    imperative, functional = found["stale_closure"][1]
    wrong, right = (one["mean pixel, newest weights"] for one in (functional.wrong, functional.right))
    assert np.ptp(wrong) == 0 < np.ptp(right)
    kept, lived = (one["mean pixel, weights of step 10"] for one in (imperative.right, imperative.wrong))
    assert np.ptp(kept) == 0 < np.ptp(lived)


@pytest.mark.slow
def test_a_file_run_alone_prints_both_outcomes(capsys):
    runpy.run_path(recorded_loss.__file__, run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.startswith("Recorded loss: a number carried out of a program")
    assert f"{IMPERATIVE}: silent\n    -return total + loss.item()\n    +return total + loss\n" in printed
    assert "\n  graph nodes alive: 0" in printed
    assert f"{FUNCTIONAL}: raises UnexpectedTracerError" in printed


def right():
    """One."""
    return 1.0


def broken():
    """Fails."""
    raise KeyError("gone")


def random():
    """Moves PyTorch's random numbers."""
    return hazards.torch.rand(()).item()


def test_outcomes_are_told_apart_and_random_numbers_stay_where_they_were():
    def happens(wrong) -> str:
        return observe(Pair(IMPERATIVE, lambda piece: {"value": piece()}, right, wrong)).happens

    before = hazards.torch.get_rng_state()
    assert [happens(piece) for piece in (right, random, broken)] == ["no effect", "silent", "raises KeyError"]
    assert hazards.torch.equal(hazards.torch.get_rng_state(), before)
    with pytest.raises(KeyError):  # a right program has to be right
        observe(Pair(IMPERATIVE, lambda piece: {"value": piece()}, broken, right))


def test_effects_are_means_with_their_distance_or_gray_levels():
    outcome = hazards.Outcome(
        IMPERATIVE,
        "silent",
        {"loss": np.array([1.0, 3.0]), "samples": np.full((2, 1, 1, 1), -1.0), "total": np.array(2.0)},
        {"loss": np.array([3.0, 1.0]), "samples": np.full((2, 1, 1, 1), 1.0), "total": np.array(2.0)},
        "",
    )
    words = {"loss": "2.00 → 2.00, 2.00 apart", "samples": "255 gray levels apart", "total": "the same"}
    assert dict(hazards.effects(outcome)) == words
