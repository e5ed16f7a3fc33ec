"""From an experiment's default config and a command line to a finished run."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console

from jaxgan import config as configs
from jaxgan import data
from jaxgan.config import Config
from jaxgan.errors import UserError, fail, one_line_errors, parse
from jaxgan.methods import Batch, build, networks
from jaxgan.methods.exhibits import Exhibit
from jaxgan.runtime import checkpoints, meeting, processes, tracking, workdir
from jaxgan.runtime import console as consoles
from jaxgan.runtime.devices import enable_compilation_cache, select_devices
from jaxgan.runtime.inspection import layers, step_cost
from jaxgan.runtime.interrupts import Interrupted, agreed_signals, graceful_signals, sigterm_ends
from jaxgan.runtime.loop import Assess, Diverged, train
from jaxgan.runtime.program import EXHIBIT_ROLE, role_key, to_unit_range
from jaxgan.runtime.schedule import Schedule

HELD_OUT = 10_000  # test images that a run on a stream holds in memory, as many as MNIST has
EXHIBITED = 10_000  # held-out images that a method may show


def main(default: Config, argv: Sequence[str] | None = None) -> None:
    """Runs an experiment as a command: reads the flags, trains, draws, and names what it wrote.

    Args:
      default: the experiment's own config; flags override its fields.
      argv: the flags; None for those of the process.

    Raises:
      SystemExit: with 2 after a mistake of the user, 1 if training diverged, 130 or 143 after Ctrl-C or SIGTERM (which
        end many processes with 0, all saved at one step: a scheduler that takes a machine back asks for no more).
    """
    name = default.kind
    with one_line_errors(name), sigterm_ends(name):
        config = read_flags(default, argv)
        with stopped_in_words(name, config):
            run(config)


@contextmanager
def stopped_in_words(program: str, config: Config) -> Iterator[None]:
    """Ends a command in one line when a run inside is interrupted, diverges or finds no memory.

    Args:
      program: the name of the command.
      config: the run's.

    Yields:
      Nothing; the run goes on inside.
    """
    try:
        yield
    except Interrupted as stopped:
        message = f"{stopped} and saved; to go on, run the same command with --resume auto"
        if not jax.distributed.is_initialized():
            fail(program, message, code=128 + stopped.signum)
        if processes.leads():
            print(f"{program}: {message}", file=sys.stderr)
    except Diverged as failure:
        kept_text = checkpoints.latest_words(workdir.Workdir(config.run.workdir).checkpoints)
        advice = "try smaller learning rates or another --seed"
        fail(program, f"stopped, {failure}; {kept_text}; {advice}", code=1)
    except jax.errors.JaxRuntimeError as failure:
        if "RESOURCE_EXHAUSTED" not in str(failure):
            raise
        fail(program, "out of memory; try a smaller --batch-size or a smaller network", code=1)


def read_flags(default: Config, argv: Sequence[str] | None) -> Config:
    """Reads a config from command-line flags.

    Args:
      default: what holds for every flag that is not given.
      argv: the flags; None for those of the process.

    Returns:
      The config, of the right types but not yet validated.

    Raises:
      UserError: if a flag is unknown or its value is no such thing.
    """
    flat = (tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands)
    return parse(lambda: tyro.cli(Config, args=argv, default=default, config=flat, prog=default.kind))


def run(config: Config, *, console: Console | None = None) -> Path:
    """Carries out a run, or only describes it with ``dry_run``.

    Args:
      config: the experiment.
      console: where to print; None for standard output.

    Returns:
      The run's folder.

    Raises:
      UserError: if the config is not valid or does not fit the machine, the data or the folder; that
        is left as it was.
      Interrupted: after Ctrl-C or SIGTERM, with everything saved.
      Diverged: if a loss stopped being finite; the last checkpoint is from before.
    """
    configs.validate(config)
    place = meeting.join(config)
    console = console or Console(quiet=bool(place and place.index))
    with consoles.show_log(console), contextlib.ExitStack() as held:
        enable_compilation_cache()
        if place:
            processes.require_same_flags(config)
        devices, dataset, held_out, resume = processes.together("prepare", lambda: prepare(config))
        assess = processes.together("assess", lambda: assessor(config, dataset, held_out))
        describe(config, dataset, devices, console=console)
        folder = workdir.Workdir(config.run.workdir)
        if config.run.dry_run:
            return folder.root
        if not resume and processes.leads() and tracking.read_rows(folder.metrics):
            console.print("Starting at step 0, in place of the run that is there.")
        processes.together("lock", lambda: processes.leads() and held.enter_context(workdir.alone(folder)))
        if place:
            processes.require_shared(folder.root)
            resume = bool(processes.agree(resume))
        stopping = agreed_signals() if place else graceful_signals()
        with stopping as stop, consoles.progress_bar(console) as report:
            state = train(
                config,
                dataset,
                devices,
                resume=resume,
                held_out=held_out,
                assess=assess,
                stop=stop,
                report=report,
            )
        held.close()
        if processes.leads():
            tracking.draw(folder, title=config.method.title, exhibits=exhibits(config, state, held_out))
            consoles.show_files(console, folder.files())
        processes.exchange("end")  # the others wait for the pictures, lest they be missed
        return folder.root


def assessor(config: Config, dataset: data.Dataset | data.Stream, held_out: data.Dataset) -> Assess | None:
    """Makes what evaluates samples while a run trains, if it is to.

    Args:
      config: the experiment.
      dataset: the training images.
      held_out: images that it is not trained on.

    Returns:
      See :func:`assessment.during_training`; None without ``evaluate_every``.

    Raises:
      UserError: if there is nothing to evaluate by.
    """
    if config.run.evaluate_every is None:
        return None
    from jaxgan.runtime.assessment import during_training  # most runs need none of it

    return during_training(config, dataset, held_out)


def exhibits(config: Config, state: Any, held_out: data.Dataset) -> dict[str, Exhibit]:
    """Asks a method what it has to show of a state.

    Args:
      config: the experiment.
      state: the method's.
      held_out: images that it was not trained on; the first 10,000 are used.

    Returns:
      Exhibits by name; none for a method without.
    """
    method = build(config.method, image_shape=held_out.images.shape[1:], classes=len(held_out.class_names))
    if method.exhibits is None:
        return {}
    images, labels = (jnp.asarray(x[:EXHIBITED]) for x in (held_out.images, held_out.labels))
    batch = Batch(to_unit_range(images), labels, jnp.arange(len(images)))
    return method.exhibits(jax.device_get(state), batch, role_key(config.run.seed, EXHIBIT_ROLE))


def prepare(config: Config) -> tuple[tuple[jax.Device, ...], data.Dataset | data.Stream, data.Dataset, bool]:
    """Finds what a run needs, and whether it can run.

    Args:
      config: the experiment, validated.

    Returns:
      The devices, the training images, those held out, and whether to go on from a checkpoint.

    Raises:
      UserError: if the config does not fit the machine, the data or the folder.
    """
    run, folder = config.run, workdir.Workdir(config.run.workdir)
    devices = select_devices(platform=run.platform, count=run.devices, batch_size=run.batch_size)
    if (share := run.batch_size // len(devices)) % run.accumulate:
        raise UserError(f"--accumulate: {run.accumulate} is not allowed, it must divide a device's {share} images")
    started = workdir.load_config(folder)
    checkpointed = checkpoints.latest_step(folder.checkpoints) is not None
    resume = workdir.check_resume(config, started=started, checkpointed=checkpointed)
    dataset, held_out = images(config)
    if run.batch_size > (size := dataset.size):
        raise UserError(f"--batch-size: {run.batch_size} is not allowed, {run.data} has {size} images")
    if getattr(config.method, "conditional", False) and len(dataset.class_names) < 2:
        raise UserError(f"--conditional: the images of {run.data} are of no classes, leave it out or take other --data")
    total = Schedule(size // run.batch_size, run).total_steps
    if run.profiled.stop > total:
        raise UserError(f"--profile: {run.profile!r} is not allowed, the run ends with step {total}")
    return devices, dataset, held_out, resume


def images(config: Config) -> tuple[data.Dataset | data.Stream, data.Dataset]:
    """Opens the images of a run, as its ``input`` wants them.

    Args:
      config: the experiment, validated.

    Returns:
      The training images, and the test images in memory; with a stream the first, and none if the method uses none.

    Raises:
      UserError: if there is no such data set, or it is not prepared and cannot be, or it is too large for memory.
    """
    run = config.run
    if run.input == "memory":
        if run.image_size is not None:
            raise UserError(f"--image-size: {run.image_size} is not allowed with images in memory, add --input stream")
        return tuple(data.load(run.data, split=split, data_dir=run.data_dir) for split in ("train", "test"))
    where = {"data_dir": run.data_dir, "image_size": run.image_size}
    dataset = data.stream(run.data, **where)
    method = build(config.method, image_shape=dataset.image_shape, classes=len(dataset.class_names))
    if method.evaluate or method.exhibits or run.evaluate_every:
        return dataset, data.stream(run.data, split="test", **where).everything(most=HELD_OUT)
    return dataset, dataset.everything(most=0)


def describe(
    config: Config, dataset: data.Dataset | data.Stream, devices: Sequence[jax.Device], *, console: Console
) -> None:
    """Prints the networks and the devices; for a dry run also the config and the cost of a step.

    Args:
      config: the experiment.
      dataset: the training images.
      devices: where it will run.
      console: where to print.
    """
    run, image_shape, classes = config.run, dataset.image_shape, len(dataset.class_names)
    for name, (module, input_shape) in networks(config.method, image_shape=image_shape, classes=classes).items():
        consoles.show_network(console, name, layers(module, input_shape, batch_size=run.batch_size))
    consoles.show_devices(console, devices, parallel=run.parallel)
    if run.dry_run:
        console.print(configs.to_json(config), highlight=False, markup=False, emoji=False, soft_wrap=True, end="")
        method = build(config.method, image_shape=image_shape, classes=classes)
        consoles.show_cost(console, step_cost(method, image_shape=image_shape, batch_size=run.batch_size))
