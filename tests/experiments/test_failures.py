import numpy as np
import pytest
from studies import failures

from jaxgan import data
from jaxgan.config import validate
from jaxgan.data import Dataset
from jaxgan.runs.flags import read_flags

SMALL = "--batch-size 16 --epochs 1 --sample-epochs 1"
NARROW = {"collapse": "--hidden-units 6", "discriminator_wins": "--width 2", "vanishing_gradient": "--width 2"}


@pytest.mark.parametrize("case", failures.CASES.values(), ids=failures.CASES)
def test_runs_of_a_case_are_valid_and_all_different(case, tmp_path):
    flags = failures.commands(case, out=tmp_path, flags="")
    configs = [read_flags(case.recipe, argv) for argv in flags.values()]
    for config in configs:
        validate(config)
    assert len({config.method for config in configs}) == len(case.runs)
    assert len({config.run.workdir for config in configs}) == len(case.runs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", failures.CASES)
def test_a_case_trains_and_draws_a_curve_and_a_row_for_each_run(name, tmp_path, monkeypatch):
    rng, case = np.random.default_rng(0), failures.CASES[name]
    images = rng.integers(0, 256, (64, 28, 28, 1), dtype=np.uint8)
    dataset = Dataset("mnist", images, np.zeros(64, np.int32), tuple("0123456789"))
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: dataset)
    folders = failures.train(case, out=tmp_path, flags=f"{SMALL} {NARROW[name]} --log-every 1")
    *curves, shown = failures.draw(case, folders).axes
    assert [axes.get_title() for axes in curves] == [panel.title for panel in case.panels]
    for axes in curves:
        assert [line.get_label() for line in axes.lines] == list(case.runs)
        assert all(len(line.get_xdata()) == 4 for line in axes.lines)
    labels = [label.get_text().split("\n") for label in shown.get_yticklabels()]
    assert [first for first, _ in labels] == list(case.runs)
