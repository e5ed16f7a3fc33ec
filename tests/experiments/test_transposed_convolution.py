import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

import transposed_convolution as explained


@pytest.mark.slow
def test_the_three_ways_agree_and_a_difference_is_told(monkeypatch):
    assert len(explained.prove(seed=3)) == len(explained.GEOMETRIES)
    monkeypatch.setattr(explained, "by_matrix", lambda y, w, geometry, size: np.ones((1, *size, 3)))
    with pytest.raises(RuntimeError, match="values differ"):
        explained.prove(seed=3)


@pytest.mark.slow
def test_the_figures_are_written(tmp_path, capsys):
    explained.main(["--out", str(tmp_path)])
    assert {p.name for p in tmp_path.iterdir()} == {
        "shape_comes_back.png",
        "zero_insertion.png",
        "checkerboard.png",
    }
    assert str(tmp_path / "checkerboard.png") in capsys.readouterr().out
