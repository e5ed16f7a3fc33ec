"""The training loop: take some steps, log, sample, save, and repeat."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgan.config import Config
from jaxgan.data import Dataset, Stream
from jaxgan.errors import UserError
from jaxgan.methods import Batch, Method
from jaxgan.runs import checkpoints, environment, fingerprint, pictures, tracking, workdir
from jaxgan.runs.best import keep_best
from jaxgan.runs.clock import Clock
from jaxgan.runs.diagnosis import Watch
from jaxgan.runs.divergence import Diverged, Divergence, mean_over_replicas
from jaxgan.runs.fingerprint import Fingerprint
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime import distributed
from jaxgan.runtime.devices import Device, Sharding, replicate, replicated
from jaxgan.runtime.inputs import open_inputs
from jaxgan.runtime.nans import first_nan
from jaxgan.runtime.program import (
    VISUALIZE_STREAM,
    Inputs,
    Program,
    compile_program,
    stream_key,
    to_unit_range,
)
from jaxgan.runtime.replicas import Replicas, compile_replicas, entry
from jaxgan.runtime.schedule import Schedule
from jaxgan.runtime.signals import Interrupted, Stop

SECONDS_PER_CALL = 0.5  # long enough to make dispatch free, short enough for a live display and a quick Ctrl-C
SAMPLES = 256  # drawn from fixed latents
HISTOGRAM = 1000  # held-out images per histogram

EvaluateSamples = Callable[[Any, int | None], dict[str, float]]  # from a state and its replica number to metrics

_log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """The progress of a run, for display."""

    step: int
    schedule: Schedule
    steps_per_second: float
    metrics: Mapping[str, float]  # means since the last row, over the replicas


def train(
    config: Config,
    method: Method,
    dataset: Dataset | Stream,
    devices: Sequence[Device],
    *,
    resume: bool,
    held_out: Dataset | None = None,
    evaluate_samples: EvaluateSamples | None = None,
    replicas: Replicas | None = None,
    own: Fingerprint | None = None,
    stop: Stop = lambda: None,
    report: Callable[[Progress], None] = lambda progress: None,
    seconds_per_call: float = SECONDS_PER_CALL,
) -> Any:
    """Trains a method from step 0 or from a checkpoint to the last epoch.

    Every process calls this. Each device trains on its own part of a batch, and only the main process writes.

    Args:
      config: the experiment, validated.
      method: the method to train, built for these devices.
      dataset: the training images, or a stream of them, which leads to the same numbers.
      devices: the devices to train on.
      resume: whether to resume from the newest checkpoint in the folder; see :func:`workdir.check_resume`.
      held_out: images to evaluate on after each epoch, if the method has ``evaluate``.
      evaluate_samples: from the method's state and the replica number to metrics of samples, for the epochs of
        ``evaluate_every``.
      replicas: the runs that train as one program; None for a single run.
      own: the fingerprint of the method, if it is code.
      stop: called after every call of the program; if it returns a signal number, the run saves and ends.
      report: called with the progress after every call of the program.
      seconds_per_call: target duration of a call of the program; it changes no number.

    Returns:
      The method's final state, with a leading replica axis if there are several.

    Raises:
      Interrupted: if ``stop`` returned a signal.
      Diverged: if a metric is not finite, in all replicas; the last checkpoint is from before.
      UserError: if no checkpoint is intact.
      OSError: if the disk fails, or a checkpoint cannot be written.
    """
    # Compile.
    clock = Clock()
    run, folder, is_main = config.run, Workdir(config.run.workdir), distributed.is_main_process()
    schedule = Schedule(dataset.size // run.batch_size, run)
    everywhere, shapes = replicated(devices), {"image_shape": dataset.image_shape, "batch_size": run.batch_size}
    if replicas is None:
        place, seeds, numbers = everywhere, run.seed, [None]
        own_images = isinstance(dataset, Stream)
        program = compile_program(method, devices, parallel=run.parallel, own_images=own_images, **shapes)
    else:
        place, seeds, numbers = replicas.sharding(devices), replicas.seeds, list(range(len(replicas.seeds)))
        program = compile_replicas(replicas, devices, **shapes)
    seed = replicate(np.asarray(seeds, np.uint32), place)

    def begin() -> None:
        workdir.begin(folder, config, resume=resume)
        pictures.remember(folder, dataset)
        environment.remember(folder, devices)
        if own is not None:
            fingerprint.remember(folder, own)

    shared = run.mirror is None  # otherwise each process has its own folder
    if not resume:
        distributed.on_all_processes("begin", lambda: (is_main or not shared) and begin())
    with checkpoints.checkpoint_manager(folder.checkpoints, shared=shared) as manager, _end_all_processes(config):
        # Restore.
        if resume:
            abstract = jax.eval_shape(program.init, seed)
            step, carry = checkpoints.restore_newest(manager, abstract, sharding=place)
            distributed.on_all_processes("begin", lambda: (is_main or not shared) and begin())
        else:
            step, carry = 0, program.init(seed)
        if step == schedule.total_steps:
            return carry.state

        # Open.
        evaluate, baseline = _held_out_metrics(method, program, dataset, held_out, everywhere)
        distributions = _distributions(method, held_out, seed=run.seed)
        divergence = Divergence(numbers)
        watches = {number: _watch(dataset, number) for number in numbers}
        with (
            open_inputs(dataset, devices, schedule=schedule, step=step, replicas=replicas) as inputs_at,
            tracking.tracker(folder, step=step, replicas=numbers) if is_main else contextlib.nullcontext() as log,
            tracking.profiler(folder.profile, run.profiled if is_main else range(0), step=step) as profiled,
            keep_best(folder, run) as offer_best,
        ):
            while step < schedule.total_steps:
                # Take some steps.
                images, labels, order, last = inputs_at(step)
                clock.lap("input" if clock.compiled else "compile")
                start, fitting = step, step + clock.steps_in(seconds_per_call)
                step = distributed.broadcast_from_main(min(fitting, schedule.call_end(step), last))
                inputs = Inputs(images, labels, order, seed, np.int32(step))
                explain = None
                if run.debug_nans:  # copied, since the program donates the carry
                    explain = partial(first_nan, method, jax.device_get(carry), inputs, batch_size=run.batch_size)
                with profiled(start, step), _explained(explain):
                    carry = program.train_steps(carry, inputs)
                    means = divergence.means(carry)
                    if run.debug_nans:
                        divergence.require_finite(carry, step)
                clock.called(step - start)
                checkpoints.require_saved(manager)
                report(Progress(step, schedule, clock.steps_per_second, mean_over_replicas(means)))
                clock.lap("log")

                # Log.
                if schedule.row_ends(step):
                    where = {"step": step, "epoch": step / schedule.steps_per_epoch}
                    rows = {
                        number: where | ({} if number is None else {"replica": number}) | metrics
                        for number, metrics in zip(numbers, means, strict=True)
                    }
                    going = {number: rows[number] for number in divergence.going}
                    if schedule.ends_epoch(step):
                        clock.lap("log")
                        measured = evaluate(carry.state, seed)
                        clock.lap("evaluation")
                        for number, row in going.items():
                            row |= {name: float(entry(value, number)) for name, value in measured.items()} | baseline
                    evaluated = evaluate_samples is not None and schedule.evaluates(step)
                    if evaluated and log is not None:
                        assert evaluate_samples is not None
                        clock.lap("log")
                        for number, row in going.items():
                            row |= evaluate_samples(entry(carry.state, number), number)
                        log.set_aside(clock.lap("evaluation"))
                    if log is not None:
                        for row in rows.values():
                            tracking.log(log, row, steps_per_second=clock.steps_per_second, shares=clock.shares)
                    if is_main and schedule.ends_epoch(step):
                        for number, row in going.items():
                            watches[number].row(row)
                    carry = program.reset_metrics(carry)
                    if evaluated:
                        offer_best(rows[numbers[0]], carry, step)

                # Sample.
                if program.sample and schedule.samples(step):
                    samples = np.asarray(program.sample(carry.state, seed, SAMPLES))
                    for number in divergence.going if is_main else ():
                        drawn, epoch = entry(samples, number), step // schedule.steps_per_epoch
                        tracking.save_samples(folder, drawn, epoch=epoch, replica=number)
                        if log is not None:
                            tracking.log_samples(log, drawn, step=step, replica=number or 0)
                            values = distributions(entry(carry.state, number))
                            log.events[number or 0].add_histograms(values, step=step)
                        watches[number].samples(drawn, step=step)
                clock.lap("log")

                # Save.
                if (signum := stop()) or schedule.saves(step):
                    divergence.require_finite(carry, step)
                    checkpoints.save(manager, carry, step=step)
                clock.lap("checkpoint")
                if signum and step < schedule.total_steps:
                    raise Interrupted(signum, step)
        return carry.state


def _held_out_metrics(
    method: Method, program: Program, dataset: Dataset | Stream, held_out: Dataset | None, sharding: Sharding
) -> tuple[Callable[[Any, Array], dict[str, np.ndarray]], dict[str, float]]:
    """Makes the function from (state, seed) to metrics of held-out images, and computes those of the baseline.

    A baseline needs all training images at once, so streams have none.
    """
    measure = program.evaluate
    if held_out is None or measure is None:
        return lambda state, seed: {}, {}
    baseline = {}
    if method.baseline and isinstance(dataset, Dataset):
        baseline = method.baseline(dataset.images, held_out.images)
    images, labels = (replicate(x, sharding) for x in (held_out.images, held_out.labels))

    def evaluate(state: Any, seed: Array) -> dict[str, np.ndarray]:
        metrics = jax.device_get(measure(state, images, labels, seed))
        return {f"test_{name}": value for name, value in metrics.items()}

    return evaluate, baseline


def _distributions(method: Method, held_out: Dataset | None, *, seed: int) -> Callable[[Any], dict[str, np.ndarray]]:
    """Makes the function from a state to values of held-out images, by name, for histograms; empty without any."""
    if method.distributions is None or held_out is None or not held_out.size:
        return lambda state: {}
    compiled, key = jax.jit(method.distributions), stream_key(seed, VISUALIZE_STREAM)
    batch = first_batch(held_out, HISTOGRAM)
    return lambda state: jax.device_get(compiled(jax.device_get(state), batch, key))


def first_batch(images: Dataset, count: int) -> Batch:
    """Returns the first images as a batch."""
    pixels, labels = (jnp.asarray(x[:count]) for x in (images.images, images.labels))
    return Batch(to_unit_range(pixels), labels, jnp.arange(len(pixels)))


def _watch(dataset: Dataset | Stream, replica: int | None) -> Watch:
    """Makes the watch of a run, or of a replica, whose warnings start with its number."""
    prefix = "" if replica is None else f"replica {replica}, "
    return Watch(partial(_some_images, dataset), lambda warning: _log.warning("%s%s", prefix, warning))


def _some_images(dataset: Dataset | Stream) -> np.ndarray:
    """Returns as many training images as there are samples."""
    count = min(SAMPLES, dataset.size)
    return dataset.images[:count] if isinstance(dataset, Dataset) else dataset.read(range(count))[0]


def _end_all_processes(config: Config) -> contextlib.AbstractContextManager[None]:
    """Ends a process of a distributed run at once if it alone fails."""
    kept = partial(checkpoints.describe_latest, config.run)
    return distributed.end_at_once(config.kind, common=(Interrupted, Diverged, UserError), kept=kept)


@contextlib.contextmanager
def _explained(explain: Callable[[], str] | None) -> Iterator[None]:
    """Adds an explanation to the error of a run that diverges inside."""
    try:
        yield
    except Diverged as failure:
        if explain is None:
            raise
        raise Diverged(f"{failure}; {explain()}") from failure
