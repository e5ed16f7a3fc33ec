import errno
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from jaxgan import cli, data, data_commands, figures
from jaxgan.data import catalog


@pytest.fixture
def small_catalog(small, monkeypatch):
    monkeypatch.setattr(catalog, "CATALOG", {"mnist": small.spec})


@pytest.fixture
def fails(refused):
    """The error of a command of data sets that is refused."""

    def fails(*argv, code=2):
        error = refused(cli.main, "data", *argv, code=code)
        assert error.startswith("jaxgan: error: ")
        return error

    return fails


def test_list_tells_what_is_prepared_without_preparing(tmp_path, capsys):
    cli.main(["data", "list", "--data-dir", str(tmp_path / "data")])
    output = capsys.readouterr().out
    assert all(name in output for name in data.names())
    assert output.count("not prepared") == len(data.names())
    assert not (tmp_path / "data").exists()


def test_list_tells_of_a_damaged_directory_in_a_folder_like_markup(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q[" / "x]" / "mnist" / "3.0.1").mkdir(parents=True)
    cli.main(["data", "list", "--data-dir", "q[/x]"])
    output = capsys.readouterr().out
    assert "Data sets in q[/x]" in output
    assert output.count("q[/x]") > 1  # beside the damaged one too
    assert "remove it" in data.describe("mnist", data_dir=tmp_path / "q[" / "x]").state
    made_of_it = [name for name in data.names() if data.describe(name).spec.parts == "mnist"]
    assert output.count("not prepared") == len(data.names()) - 1 - len(made_of_it)


@pytest.mark.usefixtures("small_catalog")
def test_prepare_from_a_folder_prints_the_directory(small, tmp_path, capsys):
    source = small.write(tmp_path / "idx", zipped=True)
    cli.main(["data", "prepare", "mnist", "--from", str(source), "--data-dir", str(tmp_path / "data")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "data" / "mnist" / "3.0.1")
    assert data.describe("mnist", data_dir=tmp_path / "data").state == "prepared"


@pytest.mark.usefixtures("small_catalog")
def test_a_source_that_does_not_exist_is_refused_even_where_none_is_needed(prepared_dir, fails):
    nowhere = ("--from", "/nonexistent")
    error = fails("prepare", "mnist", *nowhere, "--data-dir", str(prepared_dir))
    assert "--from: '/nonexistent' is not a folder" in error


@pytest.mark.slow
def test_prepare_prints_one_line_and_once_prepared_reads_no_source(small, tmp_path):
    program = f"""
import dataclasses
from jaxgan import cli
from jaxgan.data import catalog
catalog.CATALOG["mnist"] = dataclasses.replace(catalog.MNIST, examples={small.spec.examples!r}, md5={{}})
cli.main()
"""
    source, data_dir = small.write(tmp_path / "idx"), tmp_path / "data"
    flags = ["data", "prepare", "mnist", "--from", str(source), "--data-dir", str(data_dir)]
    for told in "", f"jaxgan: warning: mnist is already prepared, --from {source} was not read\n":
        done = subprocess.run([sys.executable, "-c", program, *flags], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == (f"{data_dir / 'mnist' / '3.0.1'}\n", told)


def test_commands_of_data_sets_do_not_wait_for_jax():
    program = "import sys, jaxgan.cli, jaxgan.data; print('jax' in sys.modules, 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False False\n"


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


def test_more_classes_than_rows_are_refused(tmp_path, fails, monkeypatch):
    monkeypatch.setattr(data_commands, "MOST_ROWS", 2)
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(30) % 3)
    error = fails("show", str(tmp_path / "set.npz"), "--data-dir", str(tmp_path))
    assert "set.npz' has 3 classes, too many for one row each" in error


@pytest.mark.usefixtures("small_catalog")
@pytest.mark.parametrize("columns", ["0", "6"])
def test_more_columns_than_samples_are_refused_by_name(prepared_dir, fails, columns):
    error = fails("show", "mnist", "--columns", columns, "--data-dir", str(prepared_dir))
    assert f"--columns: {columns} is not allowed, classes of mnist allow 1 to 5" in error


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("show fashion-mnist", "--data: 'fashion-mnist' is not known"),
        ("prepare fashion-mnist", "--data: 'fashion-mnist' is not known"),
        ("prepare mnist --data-dir ~nouser/x", "--data-dir: '~nouser/x'"),
        ("prepare mnist --from ~nouser/x", "--from: '~nouser/x'"),
    ],
)
def test_a_data_set_or_a_home_folder_that_does_not_exist_is_refused(fails, argv, words):
    assert words in fails(*argv.split())


@pytest.mark.parametrize("command", [("list",), ("prepare", "mnist"), ("show", "mnist")], ids=lambda words: words[0])
@pytest.mark.parametrize("fault", ["too long", "may not be entered", "within one that may not"])
def test_a_data_dir_out_of_reach_is_refused_in_one_line(tmp_path, fails, forbid_entering, command, fault):
    data_dir = {"too long": tmp_path / ("x" * 300), "within one that may not": tmp_path / "closed" / "data"}.get(
        fault, tmp_path / "closed"
    )
    forbid_entering(tmp_path / "closed")
    assert f"--data-dir: {str(data_dir)!r} cannot be entered" in fails(*command, "--data-dir", str(data_dir))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("nodir/x.png", "'nodir' is not a folder"),
        ("x.xyz", "has the suffix '.xyz', choose from .eps, .pdf, .png, .ps"),
        ("x", "has the suffix ''"),
        (".", "is a folder, name a file in it, such as 'samples.png'"),
    ],
)
def test_an_impossible_picture_is_refused_before_anything_is_prepared(tmp_path, monkeypatch, fails, out, message):
    monkeypatch.chdir(tmp_path)
    error = fails("show", "mnist", "--out", out, "--data-dir", str(tmp_path / "data"))
    assert f"--out: {out!r}" in error
    assert message in error
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("small_catalog")
def test_a_full_disk_leaves_the_former_picture(prepared_dir, tmp_path, fails, monkeypatch):
    def full(figure, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "digits.png"
    out.write_bytes(b"former")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    flags = ("--columns", "2", "--out", str(out), "--data-dir", str(prepared_dir))
    error = fails("show", "mnist", *flags, code=1)
    assert f"--out: {str(out)!r} cannot be written (No space left on device)" in error
    assert [path.read_bytes() for path in tmp_path.glob("*png*")] == [b"former"]


@pytest.mark.parametrize("suffix", data_commands.PICTURES)
def test_every_picture_format_on_offer_can_be_written(tmp_path, suffix):
    figure = figures.sample_grid(np.zeros((4, 2, 2, 1), np.uint8), title="")
    assert figures.save(figure, tmp_path / f"x{suffix}").stat().st_size > 0
