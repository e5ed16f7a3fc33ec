"""What a run shows in the terminal: tables, a progress bar, and the files it wrote."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from jaxgan.runtime import loop
from jaxgan.runtime.devices import front_end
from jaxgan.runtime.inspection import Cost, Layer

# The metrics that the progress bar has room for, on a terminal of 80 columns: the losses of both networks first.
SHORT_NAMES = {
    "loss": "loss",
    "generator_loss": "G",
    "discriminator_loss": "D",
    "real_probability": "D(x)",
    "fake_probability": "D(G(z))",
    "wasserstein_estimate": "W",
}


@contextlib.contextmanager
def show_log(console: Console) -> Iterator[None]:
    """Shows what the package itself reports as it works, such as that it prepares a data set."""
    logger = logging.getLogger("jaxgan")
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # Orbax and TFDS give the root logger a handler of its own
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


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
        BarColumn(bar_width=None),
        TextColumn("{task.fields[speed]:,.0f} steps/s {task.fields[metrics]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, expand=True, speed_estimate_period=10) as bar:
        task = bar.add_task("train", epoch="", speed=0.0, metrics="", total=None)

        def update(now: loop.Progress) -> None:
            shown = [f"{short} {now.metrics[name]:.3f}" for name, short in SHORT_NAMES.items() if name in now.metrics]
            bar.update(
                task,
                completed=now.step,
                total=now.schedule.total_steps,
                epoch=f"{math.ceil(now.step / now.schedule.steps_per_epoch)}/{now.schedule.run.epochs}",
                speed=now.steps_per_second,
                metrics=" ".join(shown),
            )

        yield update


def show_files(console: Console, files: Sequence[Path]) -> None:
    """Names every file that a run wrote."""
    console.print(f"Wrote {len(files)} files:")
    for path in files:
        console.print(f"  {path}", highlight=False, markup=False, emoji=False, soft_wrap=True)


def show_devices(console: Console, devices: Sequence[jax.Device], *, parallel: str) -> None:
    """Prints what a run will train on."""
    means = "jit" if len(devices) == 1 else front_end(parallel)
    processes = len({device.process_index for device in devices})
    where = f" in {processes} processes" * (processes > 1)
    console.print(f"Devices: {len(devices)} {devices[0].device_kind} under {means}{where}", highlight=False)


def show_cost(console: Console, cost: Cost) -> None:
    """Prints what one step costs, by XLA's own analysis."""
    console.print(
        f"One step of the whole batch on one device, by XLA's analysis: {cost.flops / 1e6:,.1f} MFLOP, "
        f"{cost.argument_bytes / 2**20:,.1f} MiB of state and batch, "
        f"{cost.temporary_bytes / 2**20:,.1f} MiB in between",
        highlight=False,
    )
