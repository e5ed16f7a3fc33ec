import matplotlib.image
import numpy as np
import pytest

from jaxgan import figures


def some_images(count, shape=(6, 5, 1)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_a_tile_holds_each_image_in_its_place_on_white():
    images = some_images(6)
    sheet = figures.tile(images, columns=3, gap=2)
    assert sheet.shape == (6 + 2 + 6, 5 + 2 + 5 + 2 + 5, 1)
    for i, image in enumerate(images):
        top, left = i // 3 * 8, i % 3 * 7
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 5], image)
    assert np.all(sheet[6:8] == 255)


def rows(epochs):
    names = ["generator_loss", "discriminator_loss", "real_probability", "fake_probability"]
    return [{"step": 3 * e, "epoch": float(e), **dict.fromkeys(names, 0.5)} for e in range(1, epochs + 1)]


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_training_curves_have_a_panel_a_unit_with_labels_and_a_line_a_metric(epochs):
    figure = figures.training_curves(rows(epochs), title="Toy")
    losses, probabilities = figure.axes
    assert [t.get_text() for t in losses.get_legend().get_texts()] == ["generator", "discriminator"]
    assert [t.get_text()[:4] for t in probabilities.get_legend().get_texts()] == ["$D(x", "$D(G", "unde"]
    for axes in figure.axes:
        assert axes.get_title()
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()


def test_the_quality_of_samples_comes_first_on_a_logarithmic_scale_beside_its_floor():
    measured = {"frechet_distance": 3.0, "floor_frechet_distance": 0.1, "precision": 0.5, "coverage": 0.2}
    every = [row | (measured if row["epoch"] % 2 == 0 else {}) for row in rows(6)]
    figure = figures.training_curves(every, title="Toy")
    distance, shares, losses, _ = figure.axes
    assert distance.get_yscale() == "log"
    assert [line.get_ydata()[0] for line in distance.get_lines()] == [3.0, 0.1]
    assert list(distance.get_lines()[0].get_xdata()) == [2, 4, 6]
    assert [t.get_text() for t in shares.get_legend().get_texts()] == ["precision", "coverage"]
    assert losses.get_title() == "Losses"
    assert figure.get_figheight() > figures.training_curves(rows(6), title="Toy").get_figheight()


def test_sample_rows_are_labelled_at_their_middle():
    figure = figures.sample_rows({"epoch 1": some_images(4), "epoch 2": some_images(4)}, title="Toy")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["epoch 1", "epoch 2"]
    np.testing.assert_allclose(axes.get_yticks(), [3, 11], atol=0.5)


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5, 3)])
def test_equal_figures_are_equal_files_of_readme_width(tmp_path, shape):
    for name in ("a.png", "b.png"):
        figures.save(figures.sample_grid(some_images(16, shape), title="Toy"), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert matplotlib.image.imread(tmp_path / "a.png").shape[1] == figures.WIDTH * figures.DPI


def test_progress_shows_the_first_panel_beside_labelled_rows():
    samples = {"epoch 1": some_images(4), "epoch 2": some_images(4)}
    metrics = [{"epoch": e, "wasserstein_estimate": -0.5, "generator_loss": 1.0} for e in (1.0, 2.0)]
    left, right = figures.progress(metrics, samples, title="Toy").axes
    assert left.get_title() == "Wasserstein estimate"
    assert left.get_ylim()[0] < -0.5  # an estimate may be negative, and is not cut off
    assert [label.get_text() for label in right.get_yticklabels()] == ["epoch 1", "epoch 2"]


def test_a_latent_plane_has_a_line_and_a_colour_a_class():
    points = np.random.default_rng(0).normal(size=(40, 2))
    (axes,) = figures.latent_plane(points, np.arange(40) % 10, title="Toy").axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [str(i) for i in range(10)]
    assert len({line.get_color() for line in axes.get_lines()}) == 10


def test_a_progression_has_a_section_a_method_with_its_rows():
    rows = {"epoch 1\n3 s": some_images(5), "epoch 2\n6 s": some_images(5)}
    figure = figures.progression({"First": rows, "Second": rows}, title="Toy")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["First", "Second"]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == list(rows)
