import sys
import types

import numpy as np
import pytest

from jaxgan import cli, data
from jaxgan.data import catalog


@pytest.fixture
def small_catalog(small, monkeypatch):
    monkeypatch.setattr(catalog, "CATALOG", {"mnist": small.spec})


def fails_with(capsys, *argv):
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("jaxgan: error: ")
    assert output.err.count("\n") == 1
    return output.err


def test_list_tells_what_is_prepared_without_preparing(tmp_path, capsys):
    cli.main(["data", "list", "--data-dir", str(tmp_path / "data")])
    output = capsys.readouterr().out
    assert all(name in output for name in data.names())
    assert output.count("not prepared") == len(data.names())
    assert not (tmp_path / "data").exists()


def test_list_tells_what_is_wrong_with_a_damaged_directory(tmp_path, capsys):
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    cli.main(["data", "list", "--data-dir", str(tmp_path)])
    assert "remove it" in data.describe("mnist", data_dir=tmp_path).state
    assert capsys.readouterr().out.count("not prepared") == len(data.names()) - 1


@pytest.mark.usefixtures("small_catalog")
def test_prepare_from_a_folder_prints_the_directory(small, tmp_path, capsys):
    source = small.write(tmp_path / "idx", zipped=True)
    cli.main(["data", "prepare", "mnist", "--from", str(source), "--data-dir", str(tmp_path / "data")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "data" / "mnist" / "3.0.1")
    assert data.describe("mnist", data_dir=tmp_path / "data").state == "prepared"


@pytest.mark.usefixtures("small_catalog")
def test_show_draws_the_first_samples_of_every_class(prepared_dir, tmp_path, monkeypatch, capsys):
    drawn = {}
    figures = types.SimpleNamespace(
        class_samples=lambda images, *, class_names, title: drawn.update(images=images, names=class_names, title=title),
        save=lambda figure, path: path.write_text("a picture"),
    )
    monkeypatch.setitem(sys.modules, "jaxgan.figures", figures)
    monkeypatch.setattr("jaxgan.figures", figures, raising=False)
    out = tmp_path / "mnist.png"
    cli.main(["data", "show", "mnist", "--columns", "3", "--out", str(out), "--data-dir", str(prepared_dir)])
    assert out.read_text() == "a picture"
    assert capsys.readouterr().out.strip() == str(out)
    samples = data.load("mnist", data_dir=prepared_dir)
    assert drawn["images"].shape == (10, 3, 28, 28, 1)
    for label, row in enumerate(drawn["images"]):
        np.testing.assert_array_equal(row, samples.images[samples.labels == label][:3])


@pytest.mark.usefixtures("small_catalog")
@pytest.mark.parametrize("columns", ["0", "6"])
def test_more_columns_than_samples_are_refused_by_name(prepared_dir, capsys, columns):
    error = fails_with(capsys, "data", "show", "mnist", "--columns", columns, "--data-dir", str(prepared_dir))
    assert f"--columns: {columns} is out of range, every class of mnist allows 1 to 5" in error


@pytest.mark.parametrize("command", ["show", "prepare"])
def test_an_unknown_data_set_is_refused_with_the_nearest_name(capsys, command):
    assert "--data: 'fashion-mnist' is not known" in fails_with(capsys, "data", command, "fashion-mnist")


def test_a_missing_folder_is_refused_in_one_line(tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    error = fails_with(capsys, "data", "prepare", "kmnist", "--from", nowhere, "--data-dir", str(tmp_path / "data"))
    assert nowhere in error
    assert list(tmp_path.iterdir()) == []
