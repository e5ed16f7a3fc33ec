"""Overhead of the training loop, and growth of its memory."""

import dataclasses
import gc
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from jaxgan.config import Config
from jaxgan.data import Dataset
from jaxgan.methods import build
from jaxgan.runs import console
from jaxgan.runs.train import SECONDS_PER_CALL, Progress, train

WARM_UP = 2  # skipped calls: the first compiles, the second is short


def measure(
    config: Config,
    dataset: Dataset,
    devices: Sequence[jax.Device],
    *,
    steps: int,
    memory_every: int = 1000,
    seconds_per_call: float = SECONDS_PER_CALL,
) -> dict[str, Any]:
    """Trains with the loop of all recipes, including progress bar, metrics, checkpoints and samples.

    Args:
      config: config of the recipe; working directory and number of epochs are overridden.
      dataset: training images.
      devices: one device.
      steps: minimum number of steps; the last epoch is completed.
      memory_every: steps between measurements of memory.
      seconds_per_call: target duration of a call.

    Returns:
      ``steps``; ``calls`` and ``between``, the seconds of each call of the compiled program and between calls; and
      ``memory``, a row per measurement.
    """
    inside, between, memory, began, ended, step = [], [], [], time.perf_counter(), 0.0, 0

    def report(progress: Progress) -> None:  # called by the loop after a call of the program
        nonlocal ended, step
        ended, step = time.perf_counter(), progress.step
        inside.append(ended - began)
        show(progress)

    def stop() -> None:  # called by the loop before the next call of the program
        nonlocal began
        between.append(time.perf_counter() - ended)
        if step >= memory_every * (len(memory) + 1):
            memory.append({"step": step, **memory_now()})
        began = time.perf_counter()

    method = build(config.method, image_shape=dataset.images.shape[1:])
    epochs = -(-steps // (len(dataset.images) // config.run.batch_size))
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        console.progress_bar(Console(file=nowhere, force_terminal=True)) as show,
    ):
        run = dataclasses.replace(config.run, workdir=Path(folder, "run"), epochs=epochs)
        how = {"stop": stop, "report": report, "seconds_per_call": seconds_per_call}
        train(dataclasses.replace(config, run=run), method, dataset, devices, resume=False, **how)
    return {"steps": step, "calls": inside[WARM_UP:], "between": between[WARM_UP:], "memory": memory}


def memory_now() -> dict[str, float]:
    """Measures the number and size of live JAX arrays, and the resident memory of the process (nan without /proc)."""
    gc.collect()
    arrays, statm = jax.live_arrays(), Path("/proc/self/statm")
    resident = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if statm.exists() else float("nan")
    return {"arrays": len(arrays), "arrays_mb": sum(x.nbytes for x in arrays) / 1e6, "resident_mb": resident}
