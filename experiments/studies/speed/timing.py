"""Interleaved timing: programs take turns in one process, so that other load on the machine hits all of them alike."""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import jax
import numpy as np
from studies.machine import cpus

Train = Callable[[int], None]  # takes a number of steps and waits for the last
Rates = dict[str, list[float]]  # steps per second of each turn, by program
T = TypeVar("T")


def interleaved(programs: Mapping[str, Train], *, repeats: int, seconds: float) -> Rates:
    """Times warm programs one after the other, again and again, for so many seconds a turn or for one step."""
    steps = {name: steps_in(train, seconds) for name, train in programs.items()}
    rates: Rates = {name: [] for name in programs}
    for _ in range(repeats):
        for name, train in programs.items():
            rates[name].append(steps[name] / timed(train, steps[name]))
    return rates


def steps_in(train: Train, seconds: float) -> int:
    """Finds how many steps fit into a turn, by trials of at most about half a turn."""
    steps, taken = 1, timed(train, 1)
    while taken < seconds / 8:
        steps *= 4
        taken = timed(train, steps)
    return max(1, round(steps * seconds / taken))


def timed(train: Train, steps: int) -> float:
    """Takes steps and returns their seconds."""
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start


def ratio(rates: list[float], others: list[float]) -> float:
    """How many times as fast the first program is: the median over turns of the ratio within a turn."""
    return float(np.median(np.divide(rates, others)))


def in_fresh_process(measure: Callable[..., T], *args: object, threads: int) -> T:
    """Calls a function in a fresh process that is confined to a number of CPUs."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=confine, initargs=(threads,)) as process:
        return process.submit(measure, *args).result()


def confine(threads: int) -> None:
    """Confines this process and its children to as many CPUs as threads, one JAX device each; call it before they run.

    XLA makes as many threads as it finds CPUs, or as NPROC says where the system has no CPU affinity.
    """
    os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus()[:threads])
    jax.config.update("jax_num_cpu_devices", threads)  # no effect on a GPU or TPU
