import shutil
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, figures
from jaxgan.report.compare import compare
from tests.report.conftest import ROWS, make_run
from tests.tiny import a_run, tiny


@pytest.fixture
def drawn(monkeypatch):
    """What the picture is made of, in the place of the picture."""
    found = {}

    def comparison(panels, samples, *, title, caption):
        found.update(panels=panels, samples=samples, title=title, caption=caption)
        return figures.single_panel(*panels[0]) if panels else matplotlib.figure.Figure()

    monkeypatch.setattr("jaxgan.report.compare.figures.comparison", comparison)
    return found


def cells(table):
    return list(zip(*(column.cells for column in table.columns), strict=True))


def test_tables_name_differing_fields_and_last_metrics(runs, tmp_path, drawn, saved):
    fields, metrics = compare(runs / "third", runs / "second", tmp_path / "both.png")
    assert cells(fields) == [("hidden_units", "4", "5"), ("seed", "0", "4")]
    assert [str(column.header) for column in metrics.columns] == ["last value of", "third", "second"]
    assert cells(metrics)[0] == ("generator_loss", "0.125", "0.25")
    assert drawn["title"] == "third and second"
    np.testing.assert_array_equal(drawn["samples"]["third"], saved[9][:64])  # the other draws none
    assert list(drawn["samples"]) == ["third"]
    assert "not of the same latents" in drawn["caption"]


@pytest.mark.parametrize(("latents", "caption"), [(3, "Samples of the same latents"), (5, "not of the same latents")])
def test_samples_of_runs_that_draw_from_the_same_are_of_the_same_latents(
    runs, tmp_path, drawn, monkeypatch, latents, caption
):
    loaded = iter([a_run(tiny("vanilla_gan", latent_size=size)) for size in (3, latents)])
    monkeypatch.setattr("jaxgan.report.compare.load_run", lambda folder, replica: next(loaded))
    monkeypatch.setattr("jaxgan.report.compare.draw", lambda run, count: (run.config.method, None))
    compare(runs / "third", runs / "second", tmp_path / "both.png")
    assert caption in drawn["caption"]
    if latents == 3:
        assert drawn["samples"] == dict.fromkeys(("third", "second"), tiny("vanilla_gan", latent_size=3))


@pytest.mark.exhaustive
def test_trained_generators_are_compared_by_quality_and_samples(tmp_path, drawn):
    fields, metrics = compare(Path("vae"), Path("dcgan"), tmp_path / "both.png")
    assert ("method", "vae", "dcgan") in cells(fields)
    assert cells(metrics)[0] == ("frechet_distance", "6.694", "2.958")
    assert (drawn["panels"], list(drawn["samples"])) == ([], ["vae", "dcgan"])


def test_runs_of_other_methods_share_some_metrics(runs, tmp_path, drawn):
    rows = [{"step": 1, "epoch": 1.0, "replica": r, "real_probability": 0.5 + r, "loss": 1.0} for r in (0, 1)]
    other = make_run(tmp_path / "other", tiny("digit_classifier"), rows=rows, checkpoint=False, replicas=2)
    fields, metrics = compare(runs / "third", other, tmp_path / "both.png")
    assert ("method", "vanilla_gan", "digit_classifier") in cells(fields)
    assert ("hidden_units", "4", "-") in cells(fields)
    assert cells(metrics) == [("real_probability", "1", "1")]  # the mean of the replicas
    ((panel, points),) = drawn["panels"]
    assert panel.title == "Discriminator probabilities\n$D(x)$, real"
    assert [point["run 1"] for point in points if "run 1" in point] == [0.5, 1.5]


def test_the_picture_has_a_panel_for_each_metric_and_a_sheet_for_each_run():
    every = [row | {"other_metric": 1.0} for row in ROWS]
    rows = {"_a$": every, "b": every[:2]}
    panels = figures.compared_panels(rows, names=["real_probability", "generator_loss", "other_metric"])
    images = np.zeros((9, 4, 4, 1), np.uint8)
    figure = figures.comparison(panels, {"_a$": images, "b": images}, title="a$b", caption="Samples")
    *curves, left, right = figure.axes
    titles = [axes.get_title() for axes in curves]
    assert titles == ["Losses\ngenerator", "Discriminator probabilities\n$D(x)$, real", "Other metric"]
    lines = {line.get_label(): line.get_data() for line in curves[0].get_lines()}
    assert [list(ys) for _, ys in lines.values()] == [[row["generator_loss"] for row in own] for own in rows.values()]
    assert [text.get_text() for text in curves[0].get_legend().get_texts()] == [r" _a\$", "b"]
    assert (left.get_title(), right.get_title()) == (r" _a\$", "b")
    assert right.get_images()[0].get_array().shape == (16, 16)


def test_the_command_writes_a_picture_here_in_the_place_of_its_last(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        make_run(tmp_path / name, tiny("digit_classifier"), rows=ROWS[:1], checkpoint=False)
    (tmp_path / "compare.png").write_bytes(b"Title: jaxgan compare")  # an earlier one
    cli.main(["compare", "a", "b"])
    assert capsys.readouterr().out.splitlines()[-1] == "compare.png"
    with Image.open("compare.png") as image:
        assert (image.width, image.text["Title"]) == (1200, "jaxgan compare")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["first", "first", "--out", "a.png"], "WORKDIR: 'first' is given twice, give another run"),
        (["first", "absent", "--out", "a.png"], "'absent': no such folder"),
        (["first"], "B: missing"),
        (
            ["first", "second", "--out", "a.gif"],
            "--out: 'a.gif' has the suffix '.gif', choose from .eps, .pdf, .png, .ps",
        ),
        (["first", "second"], "--out: 'compare.png' exists and was not written by jaxgan; name the file to write"),
        (["second", "bare", "--out", "a.png"], "'second' and 'bare': there is nothing to draw, they share no metric"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_files_alone(runs, tmp_path, monkeypatch, refused, words, complaint):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        (tmp_path / name).symlink_to(runs / name)
    (tmp_path / "bare").mkdir()
    shutil.copy(runs / "second" / "config.json", "bare")
    Image.new("L", (2, 2)).save("compare.png")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert complaint in refused(cli.main, "compare", *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
