import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxgan import cli, data, figures
from jaxgan.errors import UserError
from jaxgan.methods import METHODS
from jaxgan.report import sheets
from jaxgan.report.page import MOST_POINTS, _curve, _panels, write_report
from jaxgan.runs import pretrained
from jaxgan.tiles import tile
from tests.report.conftest import EPOCHS, ROWS, SHAPE, make_run
from tests.tiny import tiny

VOID = {"br", "hr", "img", "input", "link", "meta"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and its words; refuses tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.code, self.open = [], "", "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, words):
        if self.open[-1:] in (["script"], ["style"]):
            self.code += words
        else:
            self.words += f" {words} "

    def of(self, tag, **wanted):
        return [its for name, its in self.elements if name == tag and wanted.items() <= its.items()]

    def sections(self):
        return [its["id"] for its in self.of("h2") if its["id"] != "enlarged"]


def pixels(uri):
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def report(*folders, out):
    write_report(folders, out)
    return Page(out.read_text())


@pytest.fixture(scope="module")
def page(runs, training_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: training_set)
        return report(runs / "first", out=out)


@pytest.fixture(scope="module")
def pair(runs, tmp_path_factory):
    """The page of two runs without checkpoints, of which one has no samples either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *args, **how: (_ for _ in ()).throw(data.UserError("no such data")))
        return report(runs / "third", runs / "second", out=tmp_path_factory.mktemp("pair") / "page.html")


def test_a_page_loads_nothing_and_says_so_to_the_browser(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, name)
        assert not [name for name in attributes if name.startswith("on")]
        assert not re.search(r"url\((?!#)", attributes.get("style", ""))
    assert not re.search(r"https?://|url\(|@import|fetch\(|import\(|XMLHttpRequest|WebSocket", page.code)
    (policy,) = page.of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy["content"]


def test_a_page_is_well_formed_with_one_element_for_each_identifier(page, pair):
    for each in (page, pair):
        found = [its["id"] for _, its in each.elements if "id" in its]
        assert len(found) == len(set(found)) > 10
        named = [its[name] for _, its in each.elements for name in ("aria-labelledby",) if name in its]
        drawn = [its["xlink:href"][1:] for its in each.of("use")]
        assert {*named, *drawn} <= set(found)


def test_pictures_decode_and_have_words_for_those_who_do_not_see(page):
    assert len(page.of("img")) == 2 * len(EPOCHS) + 2  # with the nearest; a plane and a figure
    for image in page.of("img"):
        assert pixels(image["src"]).size
        assert image["alt"]
    unnamed = [its for _, its in page.elements if its.get("role") in ("img", "application") and not its["aria-label"]]
    assert unnamed == []


def test_metrics_fields_layers_and_versions_stand_in_the_page(page):
    words = page.words
    assert "first" in words
    assert "Vanilla GAN on mnist, 4 of 9 epochs, newest checkpoint at step 8" in " ".join(words.split())
    for name in ROWS[0].keys() - {"step", "epoch"}:
        assert name in words
    once = "0.75 0.0625 hidden_units generator_learning_rate hidden_0 0.9 some_view"
    for text in ("recall ↑", *once.split()):
        assert text in words or text.replace("_", " ").capitalize() in words, text
    expected = "samples plane curves metrics figures networks configuration environment"
    assert page.sections() == expected.split()
    (losses, probabilities) = [its["aria-label"] for its in page.of("div", role="img")]
    assert "generator from 0.5 to 0.125" in losses
    assert "D(x), real from 0.25 to 1" in probabilities


def test_values_of_a_curve_stand_where_it_draws_them(page):
    (losses, _) = [json.loads(its["data-points"]) for its in page.of("div", **{"class": "curve"})]
    assert losses[-1][1] == "Epoch 4: generator 0.125; discriminator 1.5"
    places = np.array([place for place, _ in losses])
    assert np.all((places > 5) & (places < 100))
    np.testing.assert_allclose(np.diff(places), np.diff(places)[0], atol=0.02)  # epochs 1, 2, 3 and 4


def test_a_curve_of_many_rows_has_some_of_its_values_and_the_last():
    rows = [{"epoch": float(i), "loss": i / 2} for i in range(1000)]
    curve = _curve(0, figures.panels_of(rows)[0], [*rows, {"epoch": 999.0, "loss": 0.5}])
    assert len(curve["points"]) <= MOST_POINTS + 1
    assert curve["points"][-1][1] == "Epoch 999: training 250"  # the mean of replicas
    assert "from 0 to 250" in curve["words"]


@pytest.mark.exhaustive
def test_a_generator_of_the_package_has_a_page_of_what_it_draws(tmp_path, monkeypatch, capsys, own_data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sheets, "MOST_DRAWN", 40)
    cli.main(["report", "vae"])
    note, out = capsys.readouterr().out.splitlines()
    assert out == "vae.html"
    assert note.startswith("vae: This generator comes with the package, trained by python experiments/vae.py")
    page = Page((tmp_path / "vae.html").read_text())
    assert page.sections() == ["samples", "plane", "networks", "configuration", "environment"]
    config, step, _ = pretrained.read("vae")
    assert f"{config.run.epochs} of {config.run.epochs} epochs, newest checkpoint at step {step:,}" in " ".join(
        page.words.split()
    )
    assert "frechet_distance" in page.words
    assert not (tmp_path / "vae").exists()


def test_the_scrubber_goes_through_the_saved_samples(page, saved):
    scrubber, *_ = page.of("input", type="range")
    assert (scrubber["min"], scrubber["max"], scrubber["value"]) == ("0", "2", "2")
    frames = [its for its in page.of("img") if its.get("data-label")]
    assert [its["data-label"] for its in frames] == [f"epoch {epoch}" for epoch in EPOCHS]
    assert ["hidden" in its for its in frames] == [True, True, False]
    for frame, images in zip(frames, saved.values(), strict=True):
        np.testing.assert_array_equal(pixels(frame["src"]), tile(images[:64], columns=8, gap=0)[..., 0])
    assert len(page.of("button")) == 64 + 1 + 3  # of the sheet, to play, and of the dialog


def test_the_nearest_training_image_of_a_copy_is_what_it_copies(page, training_set):
    sheet = [its for its in page.of("img") if its.get("class") == "nearest"][-1]
    copied = pixels(sheet["src"])[: 5 * 28]
    np.testing.assert_array_equal(copied, tile(training_set.images[20:60], columns=8, gap=0)[..., 0])
    about = json.loads(next(its for its in page.of("img") if its.get("data-label") == "epoch 9")["data-about"])
    assert about[3] == "the nearest training image is of class 3, at distance 0.00"
    assert "0.00" not in about[45]


def test_runs_stand_side_by_side_and_what_one_lacks_is_said(pair):
    words = " ".join(pair.words.split())
    assert "second' this run of vanilla_gan has no checkpoint yet" in words.replace("':", "'")
    assert "Nearest training images are not shown: no such data." in words
    assert "no checkpoint." in words
    differing = words[words.index("Configuration") :]
    assert "hidden_units 4 5" in differing
    assert len(pair.of("tr", **{"class": "differs"})) == 3  # units, seed and folder
    assert len(pair.of("div", **{"class": "growth"})) == 1
    assert "plane" not in pair.sections()
    curves = [its["aria-label"] for its in pair.of("div", role="img")]
    assert "Losses, generator over the epochs: third from 0.5 to 0.125; second from 0.5 to 0.25" in curves


def test_a_method_without_images_has_a_page_of_what_it_has(tmp_path, own_data, capsys):
    folder = make_run(tmp_path / "<b>run", tiny("digit_classifier"), rows=[{"step": 1, "epoch": 1.0, "loss": 2.5}])
    (folder / "evaluation.json").write_text("{}")
    (folder / "report.html").write_text('<meta name="generator" content="jaxgan 0.1">')
    cli.main(["report", str(folder)])
    *notes, out = capsys.readouterr().out.splitlines()
    assert out == str(folder / "report.html")
    assert "evaluation.json is damaged" in " ".join(notes)
    page = Page((folder / "report.html").read_text())
    assert page.sections() == ["curves", "metrics", "networks", "configuration", "environment"]
    assert "<b>run" in page.words
    assert "evaluation.json is damaged (not an evaluation (KeyError('metrics')))." in page.words


def test_runs_share_a_panel_for_each_metric_that_both_have(runs):
    same, other = ({**ROWS[0], name: 2.0} for name in ("loss", "accuracy"))
    collected = [SimpleNamespace(name=name, rows=[row]) for name, row in (("a$", same), ("b", other))]
    titles = [panel.title for panel, _ in _panels(collected)]
    shared = ["Losses\ngenerator", "Losses\ndiscriminator", "Discriminator probabilities\n$D(x)$, real"]
    assert titles == [*shared, "Loss\na\\$", "Accuracy\nb"]
    assert [panel.title for panel, _ in _panels(collected[1:])][-1] == "Accuracy"


def test_a_page_that_would_be_too_large_is_refused(runs, tmp_path, own_data, monkeypatch):
    monkeypatch.setattr("jaxgan.report.page.LARGEST", 1000)
    with pytest.raises(UserError, match="WORKDIR: a page of 1 runs with such large images would be too large"):
        write_report([runs / "second"], tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", METHODS)
def test_every_method_s_run_has_a_page(kind, tmp_path, own_data):
    folder = make_run(tmp_path / kind, tiny(kind))
    page = report(folder, out=tmp_path / "page.html")
    draws = METHODS[kind].build(tiny(kind), image_shape=SHAPE).generator is not None
    assert ("samples" in page.sections()) == ("plane" in page.sections()) == draws
    if "conditional" in METHODS[kind].config.__dataclass_fields__:
        page = report(make_run(tmp_path / "told", tiny(kind, conditional=True)), out=tmp_path / "told.html")
        assert "classes" in page.sections()
        assert len(page.of("option")) == 10


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["first", "first/"], "WORKDIR: 'first' is given twice, give another run"),
        (["absent"], "'absent': no such folder; give the --workdir of a run"),
        (["."], "'.': this folder holds no run, it has no config.json"),
        ([], "WORKDIR"),
        (["first", "--out", "page.txt"], "--out: 'page.txt' has the suffix '.txt', choose from .html, .htm"),
        (["first", "--out", "no/page.html"], "--out: 'no/page.html' cannot be written, 'no' is not a folder"),
        (["first"], "--out: 'first/report.html' exists and was not written by jaxgan; name the file to write"),
        (["first"] * 13, "WORKDIR: 13 runs are not allowed, a page has room for 12"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_files_alone(runs, tmp_path, monkeypatch, refused, words, complaint):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs / "first", "first", ignore=shutil.ignore_patterns("checkpoints", "samples"))
    (tmp_path / "first" / "report.html").write_text("one's own words on jaxgan")
    assert complaint in refused(cli.main, "report", *words)
    assert (tmp_path / "first" / "report.html").read_text() == "one's own words on jaxgan"
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
