import os

import pytest
from studies import long_run
from studies.long_run import EPOCH, Look

LEVEL = [Look(step, 500.0, 40) for step in range(0, 20_000, 500)]


def test_the_slope_is_in_megabytes_per_10_000_steps():
    growing = [seen._replace(megabytes=500 + seen.step / 5000) for seen in LEVEL]
    assert long_run.slope(growing) == pytest.approx(2)
    assert long_run.slope(LEVEL) == pytest.approx(0)


def test_the_report_says_whether_rows_are_complete():
    rows = [{"step": step} for step in range(EPOCH, 20_001, EPOCH)]
    text = long_run.report(20_000, LEVEL, rows)
    assert "| 20, complete and in order |" in text.replace("rows of metrics ", "")
    assert "| +0.00, +0.00, +0.00, +0.00 MB |" in text.replace("-0.00", "+0.00")
    assert "NOT complete" in long_run.report(20_000, LEVEL, [*rows[:3], *rows[4:]])
    assert "NOT complete" in long_run.report(20_000, LEVEL, [*rows, rows[-1]])


def test_a_process_is_looked_at_while_it_lives():
    (seen,) = long_run.look(os.getpid(), 7)
    assert seen.step == 7
    assert seen.megabytes > 50
    with open(os.devnull):
        assert long_run.look(os.getpid(), 7)[0].files == seen.files + 1
    assert long_run.look(2**22 + 1, 7) == []


@pytest.mark.exhaustive
def test_a_short_run_is_watched_to_its_end(tmp_path):
    text = long_run.study(long_run.Options(steps=2 * EPOCH, out=tmp_path)).read_text()
    assert "complete and in order" in text
