import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxgan import figures
from jaxgan.figures.curves import draw_panel
from jaxgan.tiles import tile


def some_images(count, shape=(6, 5, 1)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def lines_of(axes):
    """The points of each line, by its legend."""
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def shown_in(axes):
    """The pixels of the only image in axes."""
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def test_a_tile_holds_each_image_in_its_place_on_white():
    images = some_images(6)
    sheet = tile(images, columns=3, gap=2)
    assert sheet.shape == (6 + 2 + 6, 5 + 2 + 5 + 2 + 5, 1)
    for i, image in enumerate(images):
        top, left = i // 3 * 8, i % 3 * 7
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 5], image)
    assert np.all(sheet[6:8] == 255)


@pytest.mark.parametrize("height", [1.5, 4.0])
def test_a_legend_stands_below_the_label_of_the_epochs(height):
    figure = Figure(figsize=(4, height), layout="constrained")
    axes = figure.subplots()
    draw_panel(axes, figures.PANELS[0], [{"epoch": 1, "frechet_distance": 2.0}, {"epoch": 2, "frechet_distance": 1.0}])
    figure.draw_without_rendering()
    assert axes.get_legend().get_window_extent().y1 <= axes.xaxis.label.get_window_extent().y0


def test_names_of_classes_and_titles_are_no_formulas(tmp_path):
    names = ("$x", r"$\frac$", "a_b", "\u732b", "x\udcff")
    for title in ("my $pictures$ {", r"$\frac$", "\udcff"):
        figure = figures.class_samples(some_images(10).reshape(5, 2, 6, 5, 1), class_names=names, title=title)
        assert figures.save(figure, tmp_path / "figure.png").is_file()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()][:3] == [r"\$x", r"\$\frac\$", "a_b"]


NAMES = ["generator_loss", "discriminator_loss", "real_probability", "fake_probability"]


def rows(epochs, **more):
    values = {name: 0.1 * number for number, name in enumerate(NAMES)}
    return [{"step": 3 * e, "epoch": float(e), **{n: v * e for n, v in values.items()}, **more} for e in epochs]


@pytest.mark.parametrize("epochs", [range(1, 2), range(1, 31)])
def test_training_curves_have_a_panel_for_each_unit_and_a_line_a_metric(epochs):
    losses, probabilities = figures.training_curves(rows(epochs), title="Toy").axes
    assert lines_of(losses) == {
        "generator": [(e, 0.0) for e in epochs],
        "discriminator": [(e, pytest.approx(0.1 * e)) for e in epochs],
    }
    assert legend_of(losses) == ["generator", "discriminator"]
    assert lines_of(probabilities)["$D(x)$, real"] == [(e, pytest.approx(0.2 * e)) for e in epochs]
    assert legend_of(probabilities) == ["$D(x)$, real", "$D(G(z))$, generated", "undecided"]
    assert probabilities.get_lines()[2].get_ydata() == [0.5, 0.5]
    words = [(axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) for axes in (losses, probabilities)]
    assert words == [("Losses", "epoch", "loss"), ("Discriminator probabilities", "epoch", "mean probability of real")]


def test_curves_of_replicas_are_a_mean_within_their_range():
    rows = [
        {"step": i, "epoch": i, "replica": r, "generator_loss": 10.0 * r + i}
        for i in (1, 2)
        for r in range(3)
        if r < 4 - i
    ]
    rows.append({"step": 2, "epoch": 2, "replica": 2, "diverged": 1})
    (axes,) = figures.training_curves(rows, title="Toy").axes
    assert lines_of(axes) == {"generator": [(1, 11.0), (2, 7.0)]}
    (band,) = axes.collections
    assert {tuple(point) for point in band.get_paths()[0].vertices} == {(1, 1), (1, 21), (2, 2), (2, 12)}


def test_a_metric_that_no_panel_knows_has_a_panel_of_its_own():
    found = [{"step": 3 * e, "epoch": float(e), "loss": 2.0 / e, "hits": e} for e in (1, 2)]
    found[1]["test_loss"] = 0.5  # measured once
    loss, hits = figures.training_curves(found, title="Toy").axes
    assert (loss.get_title(), loss.get_ylabel(), hits.get_title()) == ("Loss", "loss", "Hits")
    assert lines_of(loss) == {"training": [(1, 2.0), (2, 1.0)], "held out": [(2, 0.5)]}
    assert lines_of(hits) == {"training": [(1, 1), (2, 2)]}


def test_every_metric_of_a_row_is_drawn_once():
    known = [name for panel in figures.PANELS for name in panel.series]
    found = {name: 1.0 + number for number, name in enumerate([*known, "new", "test_new", "test_alone"])}
    figure = figures.training_curves([{"step": 1, "epoch": 1.0, **found}], title="Toy")
    drawn = [y for axes in figure.axes for line in lines_of(axes).values() for x, y in line if x == 1 and y != 0.5]
    assert sorted(drawn) == sorted(found.values())


def test_curves_of_no_metric_are_an_empty_picture():
    (axes,) = figures.training_curves([{"step": 3, "epoch": 1.0}], title="Toy").axes
    assert not axes.get_lines()


def test_the_quality_of_samples_comes_first_beside_its_floor():
    measured = {"frechet_distance": 3.0, "floor_frechet_distance": 0.1, "precision": 0.5, "coverage": 0.2}
    every = [row | (measured if row["epoch"] % 2 == 0 else {}) for row in rows(range(1, 7))]
    figure = figures.training_curves(every, title="Toy")
    distance, fidelity, losses, _ = figure.axes
    assert distance.get_yscale() == "log"
    assert lines_of(distance) == {
        "samples": [(e, 3.0) for e in (2, 4, 6)],
        "training images": [(2, 0.1), (4, 0.1), (6, 0.1)],
    }
    assert legend_of(fidelity) == ["precision", "coverage"]
    assert losses.get_title() == "Losses"
    assert figure.get_figheight() > figures.training_curves(rows(range(6)), title="Toy").get_figheight()


def test_sample_rows_are_labelled_at_their_middle():
    images = some_images(8)
    (axes,) = figures.sample_rows({"epoch 1": images[:4], "epoch 2": images[4:]}, title="Toy").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["epoch 1", "epoch 2"]
    np.testing.assert_allclose(axes.get_yticks(), [3, 11], atol=0.5)
    np.testing.assert_array_equal(shown_in(axes), tile(images, columns=4)[..., 0])


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5, 3)])
def test_a_sample_grid_shows_its_images_in_a_square(shape):
    images = some_images(17, shape)
    figure = figures.sample_grid(images, title="Toy")
    np.testing.assert_array_equal(shown_in(figure.axes[0]), tile(images[:16], columns=4).squeeze())
    assert figure.get_suptitle() == "Toy"
    (axes,) = figures.sample_grid(images, columns=6, title="Toy").axes
    np.testing.assert_array_equal(shown_in(axes), tile(images[:12], columns=6).squeeze())


def test_equal_figures_are_equal_files_of_readme_width(tmp_path):
    for name in ("a.png", "b.png"):
        figures.save(figures.sample_grid(some_images(16), title="Toy"), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert matplotlib.image.imread(tmp_path / "a.png").shape[1] == figures.WIDTH * figures.DPI


def test_progress_shows_the_first_panel_beside_labelled_rows():
    images = some_images(8)
    samples = {"epoch 1": images[:4], "epoch 2": images[4:]}
    metrics = [{"epoch": e, "wasserstein_estimate": -0.5, "generator_loss": 1.0} for e in (1.0, 2.0)]
    left, right = figures.progress(metrics, samples, title="Toy").axes
    assert left.get_title() == "Wasserstein estimate"
    assert lines_of(left) == {"estimate": [(1, -0.5), (2, -0.5)]}
    assert left.get_ylim()[0] < -0.5  # an estimate may be negative, and is not cut off
    assert [label.get_text() for label in right.get_yticklabels()] == ["epoch 1", "epoch 2"]
    np.testing.assert_array_equal(shown_in(right), tile(images, columns=4)[..., 0])


def test_a_latent_plane_has_the_points_of_each_class_in_its_colour():
    points = np.random.default_rng(0).normal(size=(40, 2))
    (axes,) = figures.latent_plane(points, np.arange(40) % 10, title="Toy").axes
    assert legend_of(axes) == [str(label) for label in range(10)]
    for label, line in enumerate(axes.get_lines()):
        np.testing.assert_array_equal(np.transpose(line.get_data()), points[label::10])
    assert len({line.get_color() for line in axes.get_lines()}) == 10


def test_a_progression_has_a_section_for_each_method_with_its_rows():
    images = some_images(20).reshape(2, 2, 5, 6, 5, 1)
    labels = ["epoch 1\n3 s", "epoch 2\n6 s"]
    sections = {name: dict(zip(labels, of, strict=True)) for name, of in zip(("First", "Second"), images, strict=True)}
    figure = figures.progression(sections, title="Toy")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["First", "Second"]
    for axes, of in zip(figure.axes, images, strict=True):
        assert [label.get_text() for label in axes.get_yticklabels()] == labels
        np.testing.assert_array_equal(shown_in(axes), tile(of.reshape(10, 6, 5, 1), columns=5)[..., 0])


def test_number_maps_write_the_value_of_each_cell_in_it():
    values = np.array([[1.0, 2.5], [-3.0, 0.0]])
    (axes,) = figures.number_maps({"map": values}, title="Toy").axes
    assert axes.get_title() == "map"
    np.testing.assert_array_equal(shown_in(axes), values)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "1", (1, 0): "2.5", (0, 1): "-3", (1, 1): "0"}


def test_heat_maps_share_the_scale_from_black_to_white():
    maps = {"a": np.array([[0.0, 0.5]]), "b": np.array([[1.0, 0.25]])}
    figure = figures.heat_maps(maps, title="Toy")
    for axes, (label, values) in zip(figure.axes, maps.items(), strict=True):
        assert axes.get_title() == label
        np.testing.assert_array_equal(shown_in(axes), values)
        assert axes.get_images()[0].get_clim() == (0, 1)
