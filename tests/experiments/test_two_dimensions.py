import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import two_dimensions
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

TINY = two_dimensions.Options(steps=two_dimensions.FRAMES, seeds=2)


@pytest.fixture(scope="module")
def found():
    return two_dimensions.train("non-saturating", TINY)


@pytest.mark.slow
def test_every_seed_and_moment_has_its_own_look(found):
    assert [array.shape[:2] for array in found] == [(2, two_dimensions.FRAMES)] * 3
    for array in found:
        assert np.all(np.isfinite(array))
        assert np.any(array[0] != array[1])
        assert np.any(array[:, 0] != array[:, -1])


@pytest.mark.slow
def test_arrows_point_to_where_the_discriminator_says_real(found):
    rows, columns = np.gradient(found.surface[0, -1])
    at = np.linspace(0, two_dimensions.GRID - 1, two_dimensions.ARROWS).round().astype(int)
    slope = np.stack([columns[np.ix_(at, at)].ravel(), rows[np.ix_(at, at)].ravel()], axis=1)
    assert np.mean(np.sum(slope * found.field[0, -1], axis=1) > 0) > 0.9


def test_coverage_counts_modes_and_samples_near_them():
    centres = np.asarray(two_dimensions._centres())
    assert two_dimensions.coverage(np.tile(centres, (1, 4, 1))) == (1, 1)
    assert two_dimensions.coverage(np.tile(centres[:2], (1, 4, 1))) == (1 / 4, 1)
    assert two_dimensions.coverage(np.zeros((1, 5, 2))) == (0, 0)


@pytest.mark.parametrize("name", two_dimensions.DATA)
def test_real_points_lie_in_the_picture(name):
    points = np.asarray(two_dimensions.DATA[name](jax.random.key(0), 500))
    assert np.abs(points).max() < two_dimensions.REACH
    assert np.all(points.std(axis=0) > 0.3)


@pytest.mark.exhaustive
def test_every_picture_and_every_moment_is_written(found, tmp_path, monkeypatch, capsys):
    here = found._replace(samples=np.broadcast_to(jnp.float32([0.1, 0.4]), found.samples.shape))
    monkeypatch.setattr(two_dimensions, "train", lambda name, options: here)
    monkeypatch.setattr(two_dimensions, "GANS", {"a": None, "b": None})
    two_dimensions.main(["--out", str(tmp_path), "--seeds", "2", "--steps", "40"])
    assert "modes reached    0%   samples near one    0%" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "eight_gaussians.png",
        "eight_gaussians.webp",
        "eight_gaussians_seeds.png",
    ]
    with Image.open(tmp_path / "eight_gaussians.webp") as animation:
        assert animation.n_frames == two_dimensions.FRAMES


@pytest.mark.slow
def test_a_look_is_drawn_with_samples_in_black_where_they_are(found):
    at = two_dimensions.Look(*(array[0, -1] for array in found))
    at = at._replace(samples=np.full((3, 2), [0.1, 0.4]), field=np.zeros_like(at.field))
    figure = Figure(figsize=(4, 4))
    axes, canvas = figure.add_axes((0, 0, 1, 1)), FigureCanvasAgg(figure)
    two_dimensions.draw_look(axes, at, real=np.full((1, 2), 0.8))
    canvas.draw()
    shown = np.asarray(canvas.buffer_rgba())[::-1, :, :3].max(axis=2)  # from the lower left
    rows, columns = np.nonzero(shown[5:-5, 5:-5] < 30)  # without the lines around
    place = 2 * (np.stack([columns, rows]).mean(axis=1) + 5) / len(shown) - 1
    np.testing.assert_allclose(place, [0.1, 0.4], atol=0.02)


@pytest.mark.parametrize("flags", [["--steps", "3"], ["--steps", "41"], ["--seeds", "0"], ["--data", "moons"]])
def test_impossible_options_are_refused_in_one_line(flags, tmp_path, refused):
    assert flags[0] in refused(two_dimensions.main, *flags, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.exhaustive
def test_momentum_makes_modes_collapse_and_its_half_does_not():
    reached = {
        name: two_dimensions.coverage(two_dimensions.train(name, dataclasses.replace(TINY, steps=3000)).samples[:, -1])
        for name in ("non-saturating,\nmomentum 0.9", "non-saturating")
    }
    with_momentum, without = reached.values()
    assert without[0] > 0.9 > 0.7 > with_momentum[0]
