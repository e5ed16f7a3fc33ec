"""What a run shows in the terminal: tables, a progress bar, and errors in one line."""

import contextlib
import io
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from jaxgan.errors import UserError
from jaxgan.runtime import loop
from jaxgan.runtime.inspection import Cost, Layer

T = TypeVar("T")

# The metrics that the progress bar has room for.
SHORT_NAMES = {
    "generator_loss": "G loss",
    "discriminator_loss": "D loss",
    "real_probability": "D(x)",
    "fake_probability": "D(G(z))",
}


@contextlib.contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """Turns a mistake of the user into one line on standard error and exit code 2."""
    try:
        yield
    except UserError as error:
        fail(program, str(error), code=2)


def fail(program: str, message: str, *, code: int) -> None:
    """Ends the program with one line on standard error.

    Args:
      program: the name of the command.
      message: what to say.
      code: the exit code.

    Raises:
      SystemExit: always.
    """
    print(f"{program}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    raise SystemExit(code)


def parse(read: Callable[[], T]) -> T:
    """Runs a command-line parser whose complaints come as a box, and makes them one line.

    Args:
      read: parses the command line; ends with SystemExit(2) and a text on standard error if it cannot.

    Returns:
      What was parsed.

    Raises:
      UserError: with the parser's words.
    """
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return read()
    except SystemExit as error:
        if error.code != 2:
            raise
        words = re.sub(r"[\u2500-\u257f]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", box.getvalue()))
        raise UserError(re.split(r"For full helptext", " ".join(words.split()))[0].strip()) from error


def show_network(console: Console, name: str, layers: Sequence[Layer]) -> None:
    """Prints a network as a table of layers, output shapes and parameters."""
    table = Table(title=name.capitalize(), title_justify="left", show_footer=True)
    table.add_column("layer", footer="total")
    table.add_column("output shape")
    table.add_column("parameters", justify="right", footer=f"{sum(layer.parameters for layer in layers):,}")
    for layer in layers:
        table.add_row(layer.name, " x ".join(map(str, layer.output_shape)), f"{layer.parameters:,}")
    console.print(table)


@contextlib.contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[loop.Progress], None]]:
    """Shows how a run stands: epoch, steps a second, losses, probabilities and the time left.

    Yields:
      A function to call with each :class:`loop.Progress`.
    """
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[speed]:,.0f} steps/s  {task.fields[metrics]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=10) as bar:
        task = bar.add_task("train", epoch="", speed=0.0, metrics="", total=None)

        def update(now: loop.Progress) -> None:
            shown = [f"{short} {now.metrics[name]:.3f}" for name, short in SHORT_NAMES.items() if name in now.metrics]
            bar.update(
                task,
                completed=now.step,
                total=now.schedule.total_steps,
                epoch=f"{math.ceil(now.step / now.schedule.steps_per_epoch)}/{now.schedule.run.epochs}",
                speed=now.steps_per_second,
                metrics="  ".join(shown),
            )

        yield update


def show_files(console: Console, files: Sequence[Path]) -> None:
    """Names every file that a run wrote."""
    console.print(f"Wrote {len(files)} files:")
    for path in files:
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def show_cost(console: Console, cost: Cost) -> None:
    """Prints what one step costs, by XLA's own analysis."""
    console.print(
        f"One step of the whole batch on one device: {cost.flops / 1e6:,.1f} MFLOP; memory: "
        f"{cost.argument_bytes / 2**20:,.1f} MiB of state and batch, {cost.temporary_bytes / 2**20:,.1f} MiB in between",
        highlight=False,
    )
