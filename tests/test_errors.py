import dataclasses
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from jaxgan import cli
from jaxgan.errors import UserError, one_line_errors, parse, require_target, require_values, writing
from jaxgan.runs import overview
from tests.training import raising


@dataclasses.dataclass
class Options:
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    epochs: int = 3
    image_size: int | None = None
    loss: Literal["hinge", "minimax"] = "hinge"
    dry_run: bool = False


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")])
def test_a_lack_of_memory_is_a_fault_of_the_machine(fault, capsys):
    with pytest.raises(SystemExit, match="1"), one_line_errors("program"):
        raise fault
    assert capsys.readouterr().err.startswith("program: error: out of memory; try a smaller network")
    with pytest.raises(RuntimeError, match="other"), one_line_errors("program"):
        raise RuntimeError("other")


@pytest.mark.parametrize("argv", [["--out", ""], ["--out="], ["x", "--out", "", "y"]])
def test_an_empty_value_of_a_flag_is_refused(argv):
    with pytest.raises(UserError, match=r"^--out: '' is not allowed, give a value or leave it out"):
        require_values(argv)
    require_values(["--out", "x", "--flag", "--other=1", "-"])


def test_ctrl_c_during_imports_ends_the_command_in_one_line():
    program = """
import signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "tyro":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from jaxgan.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "jaxgan: error: interrupted\n")


def test_a_signal_ends_every_command_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(overview, "find_runs", lambda folder: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        cli.main(["runs"])
    assert capsys.readouterr().err == "jaxgan: error: terminated\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_list_that_is_given_twice_is_refused():
    with pytest.raises(UserError, match=r"^--labels: is given 2 times, give all of its values at once"):
        require_values(["--labels", "1", "--labels=2"], lists=["--labels"])
    require_values(["--labels", "1", "2", "--seed", "1", "--seed", "2"], lists=["--labels"])


@pytest.mark.parametrize("argv", [[""], ["sample", "", "--out", "x.png"], ["report", "x", ""]])
def test_an_empty_argument_is_refused(argv):
    with pytest.raises(UserError, match=r"^an argument is empty"):
        require_values(argv)


FLAGS = ("--epochs", "--image-size", "--loss", "--dry-run")


def read(*argv):
    return parse(lambda: tyro.cli(Options, args=argv, prog="program"), flags=FLAGS)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["x", "--epohcs", "3"], "--epohcs: no such flag; did you mean '--epochs'?"),
        (["x", "--image_sizes=3"], "--image_sizes=3: no such flag; did you mean '--image-size'?"),
        (["x", "--zebra"], "--zebra: no such flag; see program --help"),
        (["x", "y"], "y: no such argument; see program --help"),
        ([], "FOLDER: missing; see program --help"),
        (["x", "--epochs"], "--epochs: its value is missing, it must be INT"),
        (["x", "--epochs", "many"], "--epochs: it must be INT (invalid literal for int() with base 10: 'many')"),
        (["x", "--loss", "HINGE"], "--loss: 'HINGE' is not known, choose from hinge, minimax; did you mean 'hinge'?"),
        (["x", "--loss", "hing"], "--loss: 'hing' is not known, choose from hinge, minimax; did you mean 'hinge'?"),
    ],
)
def test_a_wrong_command_line_is_an_error_of_one_line(argv, message, capsys):
    with pytest.raises(UserError) as error:
        read(*argv)
    assert str(error.value) == message
    assert capsys.readouterr() == ("", "")


def test_a_wrong_value_of_an_optional_flag_is_named_with_the_flag():
    with pytest.raises(UserError, match=r"^--image-size: it must be \{None\}\|INT \(.*'large'.*\)$") as error:
        read("x", "--image-size", "large")
    assert str(error.value).isascii()


def test_a_valid_command_line_is_read():
    assert read("x", "--epochs", "5") == Options(Path("x"), epochs=5)


def test_a_missing_command_is_told_the_commands():
    app = tyro.extras.SubcommandApp()
    for name in ("list", "show"):
        app.command(lambda: None, name=name)
    with pytest.raises(UserError, match=r"^no command is given, choose from list, show$"):
        parse(lambda: app.cli(args=[]))


def test_help_still_exits_with_0(capsys):
    with pytest.raises(SystemExit, match="0"):
        read("--help")
    assert "--image-size" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, OSError), (errno.EDQUOT, OSError), (errno.EACCES, UserError)]
)
def test_only_a_full_or_broken_disk_is_a_fault_of_the_machine(number, kind):
    with pytest.raises(kind) as found, writing("--out", Path("new.png")):
        raise OSError(number, os.strerror(number))
    assert str(found.value) == f"--out: 'new.png' cannot be written ({os.strerror(number)})"


def test_an_output_folder_that_takes_no_files_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", raising(errno.EACCES))
    with pytest.raises(UserError, match=r"--out: '.*a.html' cannot be written .Permission denied"):
        require_target("--out", tmp_path / "a.html", usual="report.html")
