import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from jaxgan import cli
from jaxgan.config import Config, Run
from jaxgan.evaluation.protocol import Number
from jaxgan.evaluation.report import Evaluation, Protocol, table
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import console as consoles
from jaxgan.runs import evaluate, launch
from jaxgan.runs.train import Progress
from jaxgan.runtime.schedule import Schedule
from jaxgan.terminal import Forgiving, encodable, forgiving_output

TEXT = "Fréchet ↓ ↑ 1 ± 2 … 日 \udcff"
FOUND = Evaluation(
    {"samples": "a.npy"},
    Protocol("mnist", "features", 10, 10, (0, 1), "floor"),
    {"frechet_distance": Number(1.0, 0.1, 0.5), "coverage": Number(0.5, None, 1.0)},
    {},
)


def stream_of(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding)


def written_to(stream):
    stream.seek(0)
    return stream.read()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "shift_jis"])
def test_every_text_can_be_written_in_every_encoding(encoding):
    stream = stream_of(encoding)
    print(TEXT, file=Forgiving(stream))
    assert written_to(stream).startswith("Fr")


@pytest.mark.parametrize("columns", ["1", "3", "0", "x", "200"])
def test_help_is_shown_in_a_terminal_of_any_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit, match="0"):
        launch.main(Config(VanillaGAN()), ["--help"])
    assert "--hidden-units" in capsys.readouterr().out
    cli.main(["train"])
    assert "dcgan" in capsys.readouterr().out
    assert os.environ["COLUMNS"] == columns


def test_a_command_whose_streams_are_closed_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    with pytest.raises(SystemExit, match="2"):
        cli.main(["nothing"])


def test_what_an_encoding_lacks_has_plain_words():
    assert encodable("Fréchet ↓ ± 日", "ascii") == "Frechet v +- \\u65e5"
    assert encodable("Fréchet ↓", "latin-1") == "Fréchet v"
    assert encodable("Fréchet ↓", "utf-8") == "Fréchet ↓"


def test_the_table_of_an_evaluation_fits_into_ascii():
    stream = stream_of("ascii")
    Console(file=Forgiving(stream), width=100).print(table(FOUND))
    printed = written_to(stream)
    assert "Frechet distance v" in printed
    assert "1 +- 0.1" in printed
    assert "^ higher is better, v lower is better." in " ".join(printed.split())


def test_the_help_of_a_command_fits_into_ascii(monkeypatch):
    stream = stream_of("ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "--help"])
    assert "--samples" in written_to(stream)


class Gone(io.StringIO):
    """A terminal that was closed, or a pipe without a reader."""

    def __init__(self, result=None):
        super().__init__()
        self.result, self.written_before = result, []

    def write(self, text):
        self.written_before.append(self.result is not None and self.result.exists())
        raise BrokenPipeError(32, "Broken pipe")


def test_an_evaluation_is_written_although_nobody_can_read_it(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "evaluate_file", lambda *args, **how: FOUND)
    stdout = Gone(tmp_path / "out.json")
    monkeypatch.setattr(sys, "stdout", stdout)
    cli.main(["evaluate", "--samples", "a.npy", "--out", str(stdout.result)])
    assert stdout.result.read_text() == FOUND.to_json()
    assert stdout.written_before == [True]  # and nothing is tried after the first failure


def test_both_streams_are_as_before_when_a_command_ends():
    before = sys.stdout, sys.stderr
    with forgiving_output(), forgiving_output():
        assert isinstance(sys.stdout, Forgiving)
        assert not isinstance(sys.stdout._stream, Forgiving)
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("count", [10, 100_000])
def test_a_pipe_without_a_reader_ends_no_command(count):
    program = f"from jaxgan.errors import one_line_errors\nwith one_line_errors('toy'):\n print('x' * {count})"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # Python tries again what it buffers when it ends
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_progress_in_a_file_is_a_line_now_and_then():
    output = io.StringIO()
    schedule = Schedule(10, Run(epochs=5))
    with consoles.progress_bar(Console(file=output, width=40)) as report:
        for step in range(1, 51):
            report(Progress(step, schedule, 123.4, {"generator_loss": 0.5}))
    assert output.getvalue() == "epoch 1/5 step 1 123 steps/s G 0.500\nepoch 5/5 step 50 123 steps/s G 0.500\n"


def test_progress_of_a_method_without_known_metrics_shows_its_first_two():
    output = io.StringIO()
    with consoles.progress_bar(Console(file=output, width=80)) as report:
        report(Progress(1, Schedule(10, Run(epochs=5)), 123.4, {"energy": 0.5, "work": 2.0, "heat": 1.0}))
    assert output.getvalue().endswith("steps/s energy 0.500 work 2.000\n")


def test_progress_on_a_terminal_is_a_bar():
    output = io.StringIO()
    with consoles.progress_bar(Console(file=output, width=80, force_terminal=True)) as report:
        report(Progress(3, Schedule(10, Run(epochs=5)), 123.4, {}))
    assert "\x1b[2K" in output.getvalue()
