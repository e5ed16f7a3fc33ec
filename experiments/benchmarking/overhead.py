"""What the training loop itself costs: the time between calls of the program, and whether memory stays flat."""

import dataclasses
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
from rich.console import Console

from jaxgan import data
from jaxgan.config import Config
from jaxgan.runtime import console, loop
from jaxgan.runtime.program import Carry, Inputs, Program, compile_program

CASE = "vanilla_gan"  # whose steps are the shortest
STEPS = 10_000
EVERY = 1000  # steps between two looks at the memory


class Call(NamedTuple):
    """One call of the program, in seconds."""

    waited: float  # since the one before
    took: float
    stop: int  # the step it stopped before


def live_arrays() -> tuple[int, int]:
    """Counts the arrays that JAX holds, and their bytes."""
    arrays = jax.live_arrays()
    return len(arrays), sum(array.nbytes for array in arrays)


def resident_bytes() -> int | None:
    """Reads how much memory this process has, where the system tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def watched(program: Program, calls: list[Call], empty: list[float]) -> Program:
    """Has a program note its calls, and once what calls take that have no step to make: what any call costs.

    Args:
      program: what the loop drives.
      calls: gets one entry a call.
      empty: gets the seconds of ten calls without a step.

    Returns:
      The program, whose calls now wait for the device, as the loop does anyway right after each.
    """
    ended = time.perf_counter()

    def timed(carry: Carry, inputs: Inputs) -> tuple[Carry, float]:
        began = time.perf_counter()
        carry = jax.block_until_ready(program.advance(carry, inputs))
        return carry, time.perf_counter() - began

    def advance(carry: Carry, inputs: Inputs) -> Carry:
        nonlocal ended
        waited = time.perf_counter() - ended
        while len(calls) == 2 and len(empty) < 10:
            carry, took = timed(carry, inputs._replace(stop=carry.state.step.__array__()))
            empty.append(took)
        carry, took = timed(carry, inputs)
        calls.append(Call(waited, took, int(inputs.stop)))
        ended = time.perf_counter()
        return carry

    return program._replace(advance=advance)


def measure(config: Config, dataset: data.Dataset, devices: Sequence[jax.Device], *, steps: int) -> dict[str, Any]:
    """Trains by the loop that every recipe runs, with its progress bar, rows, checkpoints and samples.

    Args:
      config: what is trained; its folder and epochs are replaced.
      dataset: the training images.
      devices: where.
      steps: how many at least; the last epoch is finished.

    Returns:
      What :func:`summary` makes of the calls, and ``memory``: a row every 1,000 steps.
    """
    calls, empty, looks = [], [], []
    steps_per_epoch = len(dataset.images) // config.run.batch_size

    def look(step: int) -> None:
        gc.collect()
        count, size = live_arrays()
        looks.append({"step": step, "arrays": count, "bytes": size, "resident": resident_bytes()})

    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        mock.patch.object(loop, "compile_program", lambda *a, **how: watched(compile_program(*a, **how), calls, empty)),
        console.progress_bar(Console(file=nowhere, force_terminal=True)) as show,
    ):
        run = dataclasses.replace(config.run, workdir=Path(folder, "run"), epochs=-(-steps // steps_per_epoch))
        paused = {}  # seconds spent looking, by the number of the call they came after

        def report(now: loop.Progress) -> None:
            show(now)
            if now.step >= EVERY * (len(looks) + 1):
                began = time.perf_counter()
                look(now.step)
                paused[len(calls)] = time.perf_counter() - began

        loop.train(dataclasses.replace(config, run=run), dataset, devices, resume=False, report=report)
    calls = [call._replace(waited=call.waited - paused.get(i, 0.0)) for i, call in enumerate(calls)]
    return {**summary(calls, empty, steps_per_epoch=steps_per_epoch), "memory": looks}


def summary(calls: Sequence[Call], empty: Sequence[float], *, steps_per_epoch: int) -> dict[str, Any]:
    """Sums up what calls took, and what lay between them.

    Args:
      calls: all calls of a run; the first, which compiled, and the one after it, short as well, are left out.
      empty: seconds of calls without a step.
      steps_per_epoch: an epoch ends with a row of metrics, the next order of the images and, at times, a checkpoint
        and pictures.

    Returns:
      Medians in seconds of a call, of one without a step and of the time between two within an epoch; all of these
      but the call as a share of it; and the share of the whole time that was not spent in calls.
    """
    kept = [(call, before.stop % steps_per_epoch > 0) for before, call in pairwise(calls[1:])]
    took = statistics.median(call.took for call, within in kept if within)
    between = statistics.median(call.waited for call, within in kept if within)
    waited, total = sum(c.waited for c, _ in kept), sum(c.waited + c.took for c, _ in kept)
    return {
        "steps": calls[-1].stop,
        "calls": len(calls),
        "call": took,
        "between": between,
        "empty": statistics.median(empty),
        "share": (between + statistics.median(empty)) / took,
        "epochs": statistics.median(call.waited for call, within in kept if not within),
        "outside": waited / total,
    }
