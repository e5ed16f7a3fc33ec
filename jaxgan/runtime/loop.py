"""The training loop: run a stretch of steps, write down what came of it, save, and go on."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding
from jaxtyping import Array, Bool, PyTree

from jaxgan import methods
from jaxgan.config import Config
from jaxgan.data import Dataset, Stream
from jaxgan.errors import UserError
from jaxgan.runtime import best, checkpoints, processes, profiling, tracking, workdir
from jaxgan.runtime.devices import place, replicated
from jaxgan.runtime.feeding import feed
from jaxgan.runtime.interrupts import Interrupted, Stop
from jaxgan.runtime.program import Carry, Inputs, Program, compile_program
from jaxgan.runtime.schedule import Schedule

SECONDS_A_CALL = 0.5  # long enough to make dispatch free, short enough for a live display and a quick Ctrl-C
SAMPLES = 256

Assess = Callable[[Any], dict[str, float]]


class Diverged(Exception):
    """Training met a loss that is not finite."""


class Progress(NamedTuple):
    """How a run stands, for whoever displays it."""

    step: int
    schedule: Schedule
    steps_per_second: float
    metrics: Mapping[str, float]  # means since the last row


def train(
    config: Config,
    dataset: Dataset | Stream,
    devices: Sequence[jax.Device],
    *,
    resume: bool,
    held_out: Dataset | None = None,
    assess: Assess | None = None,
    stop: Stop = lambda: None,
    report: Callable[[Progress], None] = lambda progress: None,
    seconds_a_call: float = SECONDS_A_CALL,
) -> Any:
    """Trains a method from where its folder stands to its last epoch.

    Of many processes all call this. Each device takes its own part of a batch, by its index on the mesh over all, from
    the images that :func:`feeding.feed` has put on it; process 0 alone writes.

    Args:
      config: the experiment, validated.
      dataset: the training images, or a stream of them, which leads to the same numbers.
      devices: where to train.
      resume: whether to go on from the newest checkpoint in the folder; see :func:`workdir.check_resume`.
      held_out: images that the method does not train on; methods with ``evaluate`` are measured on them every epoch.
      assess: from the method's state to metrics of its samples, for the rows of the epochs that are evaluated.
      stop: asked after every call of the program; a signal number ends the run there, saved.
      report: told after every call how the run stands.
      seconds_a_call: how long a call of the program should take; it changes no number.

    Returns:
      The method's final state.

    Raises:
      Interrupted: if ``stop`` asked for it.
      Diverged: if a metric stopped being finite; the last checkpoint is from before.
      UserError: if the newest checkpoint is damaged, or beyond the last epoch asked for.
    """
    run, folder = config.run, workdir.Workdir(config.run.workdir)
    image_shape = dataset.image_shape
    program = compile_program(
        lambda axis_name: methods.build(
            config.method,
            image_shape=image_shape,
            classes=len(dataset.class_names),
            axis_name=axis_name,
            accumulate=run.accumulate,
        ),
        devices,
        image_shape=image_shape,
        batch_size=run.batch_size,
        parallel=run.parallel,
        own_images=isinstance(dataset, Stream),
    )
    schedule = Schedule(dataset.size // run.batch_size, run)
    everywhere = replicated(devices)
    seed = place(np.uint32(run.seed), everywhere)
    leads = processes.leads()
    if not resume:
        processes.together("begin", lambda: leads and workdir.begin(folder, config, resume=False))
    with checkpoints.checkpoint_manager(folder.checkpoints) as manager, _failures(config):
        if resume:
            step = processes.agree(manager.latest_step())
            if step > schedule.total_steps:
                done = step / schedule.steps_per_epoch
                raise UserError(f"--epochs: {run.epochs} is not allowed, the run stands at epoch {done:g} already")
            abstract = jax.eval_shape(program.init, seed)
            carry = checkpoints.restore(manager, abstract, step=step, sharding=everywhere)
            processes.together("begin", lambda: leads and workdir.begin(folder, config, resume=True))
        else:
            step, carry = 0, program.init(seed)

        if step == schedule.total_steps:
            return carry.state
        measure = _measure(config, dataset, held_out, program, everywhere)
        first, began, speed, waited = step, time.perf_counter(), 0.0, 0.0
        traced = run.profiled if leads else range(0)
        with (
            feed(dataset, devices, schedule=schedule, step=step) as images_for,
            tracking.tracker(folder, step=step) if leads else contextlib.nullcontext() as out,
            profiling.recorder(folder.profile, traced, step=step) as recorded,
            best.keeper(folder, run) as offer,
        ):
            while step < schedule.total_steps:
                start, asked = step, time.perf_counter()
                images, labels, order, last = images_for(step)
                waited += time.perf_counter() - asked
                fitting = step + max(1, math.ceil(speed * seconds_a_call))
                step = processes.agree(min(fitting, schedule.call_end(step), last))
                with recorded(start, step):
                    carry = program.advance(carry, Inputs(images, labels, order, seed, np.int32(step)))
                    means = _means(carry)
                if start == first:  # this call compiled the program: the clock starts after it
                    began = time.perf_counter()
                else:
                    speed = (step - first - 1) / (time.perf_counter() - began)

                report(Progress(step, schedule, speed, means))
                if schedule.row_ends(step):
                    row = {"step": step, "epoch": step / schedule.steps_per_epoch, **means}
                    if schedule.ends_epoch(step):
                        row |= measure(carry.state, seed)
                    evaluated = assess is not None and schedule.evaluates(step)
                    if evaluated and leads:
                        paused = time.perf_counter()
                        row |= assess(carry.state)
                        began += (seconds := time.perf_counter() - paused)
                        out.set_aside(seconds)
                    if leads:
                        tracking.log(out, row, steps_per_second=speed, input_wait=waited / int(carry.count))
                    carry, waited = program.forget(carry), 0.0
                    if evaluated:
                        offer(row, carry, step)
                if program.sample and schedule.samples(step):
                    pictures = np.asarray(program.sample(carry.state, seed, SAMPLES))
                    if leads:
                        tracking.save_samples(folder, pictures, epoch=step // schedule.steps_per_epoch)
                if (signum := stop()) or schedule.saves(step):
                    if not finite(carry.state):
                        raise Diverged(f"a parameter is not finite after step {step - 1}")
                    checkpoints.save(manager, carry, step=step)
                if signum and step < schedule.total_steps:
                    raise Interrupted(signum, step)
        return carry.state


def _measure(
    config: Config, dataset: Dataset | Stream, held_out: Dataset | None, program: Program, sharding: Sharding
) -> Callable[[Any, Array], dict[str, float]]:
    """Makes the function from (state, seed) to the metrics on held-out images, beside those of the baseline.

    A baseline is computed from all training images at once, so streams and images that come in parts have none.
    """
    if held_out is None or program.evaluate is None:
        return lambda state, seed: {}
    method = methods.build(config.method, image_shape=dataset.image_shape)
    known = {}
    if method.baseline and isinstance(dataset, Dataset) and dataset.stacked == 1:
        known = method.baseline(dataset.images, held_out.images)
    images, labels = (place(x, sharding) for x in (held_out.images, held_out.labels))

    def measure(state: Any, seed: Array) -> dict[str, float]:
        found = jax.device_get(program.evaluate(state, images, labels, seed))
        return {f"test_{name}": float(value) for name, value in found.items()} | known

    return measure


def _failures(config: Config) -> contextlib.AbstractContextManager[None]:
    """Ends a process of many at once where it fails for itself."""
    kept = partial(checkpoints.latest_words, workdir.Workdir(config.run.workdir).checkpoints)
    return processes.end_at_once(config.kind, common=(Interrupted, Diverged, UserError), kept=kept)


def _means(carry: Carry) -> dict[str, float]:
    """Fetches the means of the metrics since the last row; waits for the device."""
    sums, count, step = jax.device_get((carry.sums, carry.count, carry.state.step))
    if not all(map(math.isfinite, sums.values())):
        raise Diverged(f"a loss is not finite at step {step - 1}")
    return {name: float(total) / int(count) for name, total in sums.items()}


@jax.jit
def finite(state: PyTree) -> Bool[Array, ""]:
    """Whether every number in a state is finite."""
    numbers = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in numbers]))
