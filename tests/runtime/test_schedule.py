from hypothesis import given
from hypothesis import strategies as st

from jaxgan.config import Run
from jaxgan.runtime.schedule import Schedule


def test_rows_end_every_so_many_steps_and_with_each_epoch():
    schedule = Schedule(10, Run(epochs=2, log_every=4))
    assert [s for s in range(21) if schedule.row_ends(s)] == [0, 4, 8, 10, 14, 18, 20]
    once = Schedule(10, Run(epochs=2))
    assert [s for s in range(21) if once.row_ends(s)] == [0, 10, 20]


@given(st.integers(1, 20), st.none() | st.integers(1, 30), st.integers(0, 100))
def test_the_end_of_a_row_is_the_next_step_at_which_one_ends(steps_per_epoch, log_every, step):
    schedule = Schedule(steps_per_epoch, Run(log_every=log_every))
    assert schedule.row_end(step) == next(s for s in range(step + 1, step + 200) if schedule.row_ends(s))


def test_a_call_ends_with_a_row_and_where_a_trace_begins_or_ends():
    schedule = Schedule(10, Run(log_every=4, profile="2:9"))
    assert [schedule.call_end(step) for step in range(11)] == [2, 2, 4, 4, 8, 8, 8, 8, 9, 10, 14]


def test_samples_and_checkpoints_come_after_the_chosen_epochs_and_the_last():
    schedule = Schedule(10, Run(epochs=7, checkpoint_every=3, sample_epochs=(1, 4)))
    assert [s for s in range(71) if schedule.samples(s)] == [10, 40, 70]
    assert [s for s in range(71) if schedule.saves(s)] == [30, 60, 70]


def test_samples_are_evaluated_after_every_so_many_epochs_or_never():
    schedule = Schedule(10, Run(epochs=7, evaluate_every=3))
    assert [s for s in range(71) if schedule.evaluates(s)] == [30, 60]
    assert not any(Schedule(10, Run(epochs=7)).evaluates(s) for s in range(71))
