"""Interleaved timing: programs take turns in one process, so other load affects all of them equally."""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import jax
import numpy as np
from studies.machine import cpus

Train = Callable[[int], None]  # runs a number of steps and waits for the last
Rates = dict[str, list[float]]  # steps per second of each turn, by program
T = TypeVar("T")


def interleaved(programs: Mapping[str, Train], *, repeats: int, seconds: float) -> Rates:
    """Times warm programs in interleaved turns of at least one step and about ``seconds``."""
    steps = {name: steps_in(train, seconds) for name, train in programs.items()}
    rates: Rates = {name: [] for name in programs}
    for _ in range(repeats):
        for name, train in programs.items():
            rates[name].append(steps[name] / timed(train, steps[name]))
    return rates


def steps_in(train: Train, seconds: float) -> int:
    """Finds the number of steps per turn, with trials of at most about half a turn."""
    steps, taken = 1, timed(train, 1)
    while taken < seconds / 8:
        steps *= 4
        taken = timed(train, steps)
    return max(1, round(steps * seconds / taken))


def timed(train: Train, steps: int) -> float:
    """Runs steps and returns the elapsed seconds."""
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start


def ratio(rates: list[float], others: list[float]) -> float:
    """Returns the speed-up of the first program: the median over turns of the ratio within a turn."""
    return float(np.median(np.divide(rates, others)))


def in_fresh_process(measure: Callable[..., T], *args: object, threads: int) -> T:
    """Calls a function in a new process that is confined to a number of CPUs."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=confine, initargs=(threads,)) as process:
        return process.submit(measure, *args).result()


def confine(threads: int) -> None:
    """Confines this process and its children to ``threads`` CPUs, with one JAX device each; call it before JAX runs.

    XLA starts one thread per available CPU, or NPROC threads on systems without CPU affinity.
    """
    os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus()[:threads])
    jax.config.update("jax_num_cpu_devices", threads)  # no effect on a GPU or TPU
