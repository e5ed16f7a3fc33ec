"""What a run prints: its networks and their cost, a progress bar, and the files it wrote."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from jaxgan.methods import Batch, Method
from jaxgan.methods.method import Network
from jaxgan.runs.train import Progress as TrainProgress
from jaxgan.runtime.devices import Device, front_end
from jaxgan.runtime.replicas import Replicas
from jaxgan.runtime.targets import Estimate
from jaxgan.terminal import package_log

# The metrics that fit into the progress bar on a terminal of 80 columns: the losses of both networks first. A method
# with none of them shows its first two metrics.
SHORT_NAMES = {
    "loss": "loss",
    "generator_loss": "G",
    "discriminator_loss": "D",
    "real_probability": "D(x)",
    "fake_probability": "D(G(z))",
    "wasserstein_estimate": "W",
}

SECONDS_PER_LINE = 30.0  # seconds between lines of progress if the output is not a terminal


class Layer(NamedTuple):
    """One layer of a network."""

    name: str
    output_shape: tuple[int, ...]
    parameters: int


def layers(network: Network, *, batch_size: int) -> list[Layer]:
    """Lists a network's layers in the order in which they are applied, without computing anything.

    Returns:
      One entry for each submodule that the network calls, and for each parameter outside of them.
    """
    shapes = {}

    def record(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext):
        result = call(*args, **kwargs)
        if context.method_name == "__call__" and len(context.module.path) == 1:
            shapes[context.module.name] = getattr(result, "shape", ())
        return result

    def trace() -> dict:
        with nn.intercept_methods(record):
            return network.module.init(jax.random.key(0), jnp.zeros((batch_size, *network.input_shape)))

    params = jax.eval_shape(trace)["params"]
    shapes |= {name: () for name in params if name not in shapes}  # parameters outside of layers, as in NNX modules
    sizes = {name: sum(x.size for x in jax.tree.leaves(params.get(name, {}))) for name in shapes}
    return [Layer(name, shape, sizes[name]) for name, shape in shapes.items()]


class Cost(NamedTuple):
    """The cost of one step on one device, by XLA's analysis."""

    flops: float
    argument_bytes: int
    temporary_bytes: int


def step_cost(method: Method, *, image_shape: tuple[int, int, int], batch_size: int) -> Cost:
    """Compiles a step for one device without running it, and returns XLA's cost analysis."""
    abstract = jax.ShapeDtypeStruct
    key = jax.eval_shape(jax.random.key, 0)
    state = jax.eval_shape(method.init, key)
    index = abstract((batch_size,), jnp.int32)
    batch = Batch._make((abstract((batch_size, *image_shape), jnp.float32), index, index))
    lowered = jax.jit(method.step, donate_argnums=0).lower(state, batch, key)
    analysis, memory = lowered.cost_analysis(), lowered.compile().memory_analysis()
    assert analysis is not None
    assert memory is not None
    return Cost(analysis["flops"], memory.argument_size_in_bytes, memory.temp_size_in_bytes)


def show_log(console: Console) -> contextlib.AbstractContextManager[None]:
    """Prints the log messages of the package, for example that it prepares a data set."""
    return package_log(RichHandler(console=console, show_time=False, show_level=False, show_path=False))


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
def progress_bar(console: Console) -> Iterator[Callable[[TrainProgress], None]]:
    """Shows the progress of a run: epoch, steps per second, losses, probabilities and the time left.

    A terminal shows a bar, and a notebook one line that is updated. Other outputs get a line every half minute.

    Yields:
      A function to call with each :class:`train.Progress`.
    """
    if Console().is_jupyter and not console.quiet:
        yield _progress_display()
        return
    if not console.is_interactive:
        yield _progress_lines(console)
        return
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[speed]:,.0f} steps/s {task.fields[metrics]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, expand=True, speed_estimate_period=10) as bar:
        task = bar.add_task("train", epoch="", speed=0.0, metrics="", total=None)

        def update(now: TrainProgress) -> None:
            epoch, metrics = _epoch(now), _shown(now)
            total, speed = now.schedule.total_steps, now.steps_per_second
            bar.update(task, completed=now.step, total=total, epoch=epoch, speed=speed, metrics=metrics)

        yield update


def _progress_lines(console: Console) -> Callable[[TrainProgress], None]:
    """Makes the function that prints a line of progress at the start, every half minute, and at the end."""
    printed = -float("inf")

    def update(now: TrainProgress) -> None:
        nonlocal printed
        if time.monotonic() - printed < SECONDS_PER_LINE and now.step < now.schedule.total_steps:
            return
        printed = time.monotonic()
        console.print(_line(now), highlight=False, markup=False, emoji=False, soft_wrap=True)

    return update


def _progress_display() -> Callable[[TrainProgress], None]:
    """Makes the function that shows a line of progress in a notebook, and updates it in place."""
    from IPython.display import display  # pyright: ignore[reportMissingImports]  # always present in a notebook

    shown: Any = display({"text/plain": ""}, raw=True, display_id=True)
    return lambda now: shown.update({"text/plain": _line(now)}, raw=True)


def _line(now: TrainProgress) -> str:
    return f"epoch {_epoch(now)} step {now.step:,} {now.steps_per_second:,.0f} steps/s {_shown(now)}"


def _epoch(now: TrainProgress) -> str:
    return f"{math.ceil(now.step / now.schedule.steps_per_epoch)}/{now.schedule.run.epochs}"


def _shown(now: TrainProgress) -> str:
    known = [name for name in SHORT_NAMES if name in now.metrics]
    return " ".join(f"{SHORT_NAMES.get(name, name)} {now.metrics[name]:.3f}" for name in known or list(now.metrics)[:2])


def show_files(console: Console, files: Sequence[Path]) -> None:
    """Lists every file that a run wrote."""
    console.print(f"Wrote {len(files)} files:")
    for path in files:
        console.print(f"  {path}", highlight=False, markup=False, emoji=False, soft_wrap=True)


def show_time(console: Console, shares: Mapping[str, float]) -> None:
    """Prints the share of each kind of work in the time of a run, the largest first."""
    parts = [f"{work} {share:.1%}" for work, share in sorted(shares.items(), key=lambda part: -part[1])]
    if parts:  # earlier versions saved none
        console.print(f"Time: {', '.join(parts)}", highlight=False, soft_wrap=True)


def show_devices(console: Console, devices: Sequence[Device], *, parallel: str) -> None:
    """Prints the devices of a run."""
    front = "jit" if len(devices) == 1 else front_end(parallel, devices)
    processes = len({device.process_index for device in devices})
    where = f" in {processes} processes" * (processes > 1)
    console.print(f"Devices: {len(devices)} {devices[0].device_kind} under {front}{where}", highlight=False)


def show_replicas(console: Console, replicas: Replicas, devices: Sequence[Device]) -> None:
    """Prints the seeds and the swept values of replicas, and how devices share them."""
    count, groups, seeds = len(replicas.seeds), replicas.groups(devices), sorted(set(replicas.seeds))
    shared = f", {count // groups} on each of {groups} groups of devices" * (groups > 1)
    seed = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    swept = [f"{name} {', '.join(f'{x:g}' for x in dict.fromkeys(values))}" for name, values in replicas.fields.items()]
    console.print(f"Replicas: {count}{shared}; {'; '.join([seed, *swept])}", highlight=False)


def show_cost(console: Console, cost: Cost) -> None:
    """Prints the cost of one step, by XLA's analysis."""
    console.print(
        f"One step of the whole batch on one device, by XLA's analysis: {cost.flops / 1e6:,.1f} MFLOP, "
        f"{cost.argument_bytes / 2**20:,.1f} MiB of state and batch, "
        f"{cost.temporary_bytes / 2**20:,.1f} MiB of temporaries",
        highlight=False,
    )


def show_estimate(console: Console, estimate: Estimate) -> None:
    """Prints the estimated memory and time of a run on each device of TPUs that are not attached."""
    used, memory = estimate.arguments + estimate.temporaries, estimate.target.memory
    console.print(
        f"On each of {estimate.target.count} devices of {estimate.target.name}, compiled and not run: "
        f"{used / 2**20:,.1f} MiB of {memory / 2**30:,.0f} GiB ({used / memory:.1%}), "
        f"{estimate.operations / 1e6:,.1f} MFLOP per step, which takes {estimate.least_seconds * 1e6:,.1f} µs at least",
        highlight=False,
    )
