"""Launches runs: from an experiment's default config and a command line to a finished run."""

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from jaxgan import config as configs
from jaxgan import data
from jaxgan.config import Config
from jaxgan.errors import UserError, end_with_main_thread, fail, one_line_errors, writing
from jaxgan.methods import Method, OwnMethod
from jaxgan.methods.method import Visualization
from jaxgan.runs import checkpoints, mirror, tracking, workdir
from jaxgan.runs import console as consoles
from jaxgan.runs.flags import flags_of, read_flags
from jaxgan.runs.load import load_run, named_as_a_folder, require_run
from jaxgan.runs.pictures import require_alike
from jaxgan.runs.task import Task, described, digests_of, held_out_images, prepare
from jaxgan.runs.train import Diverged, Progress, first_batch, train
from jaxgan.runtime import distributed, targets
from jaxgan.runtime.devices import device_groups, enable_compilation_cache, mapped_axis
from jaxgan.runtime.numerics import fixed_numerics
from jaxgan.runtime.program import VISUALIZE_STREAM, stream_key
from jaxgan.runtime.replicas import entry
from jaxgan.runtime.signals import Interrupted, agreed_signals, exit_on_signals, graceful_signals

VISUALIZED = 10_000  # held-out images for a method's visualizations, at most
ONE_AT_A_TIME = threading.RLock()  # runs in several threads: Orbax would confuse their files

_log = logging.getLogger(__name__)


def main(
    default: Config,
    argv: Sequence[str] | None = None,
    *,
    program: str | None = None,
    finish: Callable[[Config, Path], None] | None = None,
) -> None:
    """Runs an experiment as a command: parses the flags, trains, draws figures, and lists the files.

    Args:
      default: the default config of the experiment; flags override its fields.
      argv: the flags; None for those of the process.
      program: the name of the command; None for that of the script, or of the method if ``argv`` is given.
      finish: a callback for the finished run, which takes its config and its working directory.

    Raises:
      SystemExit: with 2 after a user error, 1 if training diverged or the machine fails, 130, 143 or 129 after Ctrl-C,
        SIGTERM or SIGHUP. A distributed run, saved at one step, ends with 0 then, which satisfies a scheduler that
        preempts it.
    """
    script = Path(sys.argv[0]).name if argv is None else ""
    name = program or (script if script.endswith(".py") else default.kind)
    with one_line_errors(name), exit_on_signals(name):
        config = read_flags(default, argv, program=name)
        with stopped_in_words(name, config):
            run(config, finish=finish)


@contextmanager
def stopped_in_words(program: str, config: Config) -> Iterator[None]:
    """Ends a command with one line if a run inside is interrupted or diverges, or memory or disk fail."""
    try:
        yield
    except Interrupted as stopped:
        message = f"{stopped} and saved; to resume, run the same command with --resume auto"
        if not jax.distributed.is_initialized():
            fail(program, message, code=128 + stopped.signum)
        if distributed.is_main_process():
            print(f"{program}: {message}", file=sys.stderr)
    except Diverged as failure:
        kept_text = checkpoints.describe_latest(config.run)
        advice = "try smaller learning rates or another --seed"
        fail(program, f"stopped, {failure}; {kept_text}; {advice}", code=1)
    except OSError as failure:  # of the disk, during the run
        kept_text = checkpoints.describe_latest(config.run)
        end_with_main_thread(1)
        fail(program, f"stopped, {failure}; {kept_text}; fix that and run the same command to resume", code=1)
    except jax.errors.JaxRuntimeError as failure:
        if "RESOURCE_EXHAUSTED" not in str(failure):
            raise
        fewer = ", fewer replicas" * config.run.several
        fail(program, f"out of memory; try a smaller --batch-size{fewer} or a smaller network", code=1)


@fixed_numerics()
def run(
    config: Config,
    *,
    dataset: Any = None,
    method: OwnMethod | None = None,
    console: Console | None = None,
    finish: Callable[[Config, Path], None] | None = None,
) -> Path:
    """Executes a run, or only describes it with ``dry_run``.

    Args:
      config: the experiment.
      dataset: arrays to train on instead of a named data set; see :func:`jaxgan.data.from_arrays`.
      method: a method to train instead of the config's: a :class:`Method`, which trains on one device; or, for any
        number of devices, a function of the keywords ``image_shape``, ``classes``, ``axis_name`` and ``accumulate``
        that builds it. A run resumes only with the same method.
      console: where to print; None for standard output.
      finish: a callback for the finished run, which takes its config and its working directory.

    Returns:
      The working directory of the run.

    Raises:
      UserError: if the config is not valid or does not fit the machine, the data or the working directory, which stays
        unchanged.
      Interrupted: after Ctrl-C, SIGTERM or SIGHUP, with everything saved.
      Diverged: if a loss is not finite; the last checkpoint is from before.
      OSError: if the disk fails, or not all files of the run could be uploaded to its mirror.
    """
    configs.validate(config := described(config, dataset=dataset, method=method))
    process = distributed.initialize(config.run, program=config.kind)
    console = console or Console(quiet=bool(process and process.index), force_jupyter=False)  # as text in notebooks
    with (
        ONE_AT_A_TIME,
        consoles.show_log(console),
        contextlib.ExitStack() as held,
        contextlib.ExitStack() as mirrored,
    ):
        enable_compilation_cache()
        if process:
            distributed.require_same_flags(flags_of(config))
        if config.run.mirror:
            config = mirror.fetched(config, process=process.index if process else 0)
        task = distributed.on_all_processes("prepare", lambda: prepare(config, dataset=dataset, method=method))
        if process:
            distributed.require_same_flags(digests_of(task))
        with jax.default_device(task.devices[0]):
            describe(task, console=console)
            folder = workdir.Workdir(config.run.workdir)
            if config.run.dry_run:
                return folder.root
            is_main = distributed.is_main_process()
            if not task.resume and is_main and tracking.read_rows(folder.metrics):
                console.print("Starting at step 0, replacing the existing run.")
            lock = workdir.locked(folder) if is_main else contextlib.nullcontext(lambda: None)
            require_here = distributed.on_all_processes("lock", lambda: held.enter_context(lock))
            resume = task.resume
            if process and not config.run.mirror:
                workdir.require_shared(folder.root)
            resume = bool(distributed.broadcast_from_main(resume))
            uploads = mirror.mirrored(config.run, resume=resume)
            offer = distributed.on_all_processes("mirror", lambda: mirrored.enter_context(uploads))
            stopping, took_steps = agreed_signals() if process else graceful_signals(), False
            with stopping as stop, consoles.progress_bar(console) as show:

                def report(progress: Progress) -> None:
                    nonlocal took_steps
                    took_steps = True
                    require_here()
                    offer()
                    show(progress)

                state = train(
                    config,
                    task.method,
                    task.dataset,
                    task.devices,
                    resume=resume,
                    held_out=task.held_out,
                    evaluate_samples=task.evaluate_samples,
                    replicas=task.replicas,
                    own=task.own,
                    stop=stop,
                    report=report,
                )
            held.close()
            if is_main:
                number = next(iter(tracking.going_replicas(tracking.read_rows(folder.metrics))), None)
                method = task.replicas.method(number or 0) if task.replicas else task.method
                shown = visualizations(method, entry(state, number), task.held_out, seed=config.run.seed)
                drawn = tracking.draw(folder, title=config.method.title, visualizations=shown)
                if took_steps:  # otherwise an earlier launch logged the result
                    tracking.log_result(folder, config, shown=[path for path in drawn if path.stem in shown])
                for row in tracking.read_rows(folder.timings)[-1:]:
                    consoles.show_time(console, row.get("shares", {}))
                consoles.show_files(console, folder.files())
                if finish:
                    finish(config, folder.root)
            distributed.on_all_processes("end", mirrored.close)  # the others wait, or JAX would miss them
            if config.run.mirror:
                console.print(
                    f"All files are also at {config.run.mirror}.", highlight=False, markup=False, soft_wrap=True
                )
        return folder.root


@fixed_numerics()
def redraw(root: Path) -> list[Path]:
    """Draws the figures of a run again, from its metrics, its samples and its newest checkpoint; returns their paths.

    Without a checkpoint the visualizations are left out, with a warning.

    Raises:
      UserError: if there is no such run, it has neither metrics nor a checkpoint, or the folder cannot be written.
    """
    folder = workdir.Workdir(root)
    with named_as_a_folder():
        config = require_run(folder)
    rows, shown = tracking.read_rows(folder.metrics), {}
    if rows and checkpoints.latest_step(folder.checkpoints) is None:
        _log.warning("%r has no checkpoint: its figures are drawn from metrics and samples alone", str(root))
    else:
        run = load_run(root, replica=next(iter(tracking.going_replicas(rows)), None))
        if run.method.visualize is not None:  # other methods need no images
            held_out = held_out_images(run.config.run, run.method)
            require_alike(folder, held_out, name=run.config.run.data)
            shown = visualizations(run.method, run.state, held_out, seed=run.config.run.seed)
    with writing("WORKDIR", root):
        return tracking.draw(folder, title=config.method.title, visualizations=shown)


def visualizations(method: Method, state: Any, held_out: data.Dataset, *, seed: int) -> dict[str, Visualization]:
    """Returns a method's visualizations of a state, by name, made from the first 10,000 held-out images."""
    if method.visualize is None:
        return {}
    batch, key = first_batch(held_out, VISUALIZED), stream_key(seed, VISUALIZE_STREAM)
    return method.visualize(jax.device_get(state), batch, key)


def describe(task: Task, *, console: Console) -> None:
    """Prints the networks and the devices; for a dry run also the config and the cost of a step."""
    run, method = task.config.run, task.method
    for name, network in method.networks.items():
        consoles.show_network(console, name, consoles.layers(network, batch_size=run.batch_size))
    consoles.show_devices(console, task.devices, parallel="shard_map" if task.replicas else run.parallel)
    if task.replicas:
        consoles.show_replicas(console, task.replicas, task.devices)
    if run.dry_run:
        text = configs.to_json(task.config)
        console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True, end="")
        cost = consoles.step_cost(method, image_shape=task.dataset.image_shape, batch_size=run.batch_size)
        consoles.show_cost(console, cost)
    if run.target is not None:
        consoles.show_estimate(console, _estimate(task, run.target))


def _estimate(task: Task, name: str) -> targets.Estimate:
    """Estimates the memory and time of a run on TPUs that are not attached."""
    config, dataset, target = task.config, task.dataset, targets.parse_target(name)
    runs = len(task.replicas.seeds) if task.replicas else 1
    sharing = target.count // device_groups(target.count, replicas=runs)
    if (size := config.run.batch_size) % (sharing * config.run.accumulate):
        raise UserError(f"--batch-size: {size} is not allowed, {name} divides it into {sharing} parts")
    on = targets.devices(target)
    method = task.build(task.replicas.values(0) if task.replicas else {}, mapped_axis(on[:sharing]))
    shape = (dataset.size, *dataset.image_shape)
    return targets.estimate(method, target, on, images=shape, batch_size=size, replicas=runs)
