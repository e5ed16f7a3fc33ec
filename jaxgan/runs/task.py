"""Prepares a run: finds and checks all that it needs before anything is written."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxgan import config as configs
from jaxgan import data, methods
from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.methods import Method, OwnMethod
from jaxgan.runs import checkpoints, fingerprint, pictures, tracking, workdir
from jaxgan.runs.fingerprint import Fingerprint
from jaxgan.runs.train import EvaluateSamples
from jaxgan.runtime.devices import Device, device_groups, mapped_axis, select_devices
from jaxgan.runtime.replicas import Replicas, Values, is_numeric
from jaxgan.runtime.schedule import Schedule

HELD_OUT = 10_000  # test images in memory for a streamed run, as many as MNIST has

_log = logging.getLogger(__name__)


class Task(NamedTuple):
    """What a run trains, on which data and devices."""

    config: Config
    devices: tuple[Device, ...]
    dataset: data.Dataset | data.Stream
    held_out: data.Dataset
    build: Callable[..., Method]  # from field values, and the mapped axis if it is another one
    method: Method  # built for the devices; that of the first replica if there are several
    replicas: Replicas | None  # if there are several
    resume: bool  # whether to resume from a checkpoint
    evaluate_samples: EvaluateSamples | None  # with ``evaluate_every``
    own: Fingerprint | None  # of a method that is code


def described(config: Config, *, dataset: Any = None, method: OwnMethod | None = None) -> Config:
    """Marks in a config that a program passes arrays, or a built method, which trains on one device.

    Raises:
      UserError: if it is not a config, or names other images or a stream.
    """
    if not isinstance(config, Config) or not isinstance(config.run, Run):
        raise UserError(f"config: {config!r} is not allowed, it must be jaxgan.Config(METHOD, jaxgan.Run(...))")
    run = config.run
    if dataset is not None:
        if run.data not in (Run.data, data.ARRAYS):
            raise UserError(f"dataset=: the config names other images, --data {run.data!r}; leave out one of them")
        if run.input == "stream":
            raise UserError("--input: 'stream' is not allowed with dataset=, whose arrays are in memory; leave it out")
        run = dataclasses.replace(run, data=data.ARRAYS)
    if method is not None and not callable(method) and not run.several:
        run = dataclasses.replace(run, devices=run.devices or 1)
    return Config(config.method, run)


def prepare(config: Config, *, dataset: Any = None, method: OwnMethod | None = None) -> Task:
    """Prepares a run, and checks that it can run.

    Args:
      config: the experiment, validated; see :func:`described`.
      dataset: arrays that a program passes; see :func:`jaxgan.data.from_arrays`.
      method: a method that a program passes; see :class:`jaxgan.methods.Own`.

    Returns:
      The task.

    Raises:
      UserError: if the config does not fit the machine, the data or the folder.
    """
    run, folder = config.run, workdir.Workdir(config.run.workdir)
    members = configs.replica_configs(config)
    devices = select_devices(platform=run.platform, count=run.devices, batch_size=run.batch_size, replicas=len(members))
    together = devices[: len(devices) // device_groups(len(devices), replicas=len(members))]  # they share a batch
    if run.several:
        _require_one_process(run, devices)
    if (share := run.batch_size // len(together)) % run.accumulate:
        raise UserError(f"--accumulate: {run.accumulate} is not allowed, it must divide a device's {share} images")
    if run.debug_nans and len(devices) > 1:
        raise UserError(f"--debug-nans: is not allowed on {len(devices)} devices, add --devices 1")
    workdir.require_writable(folder.root)
    if data.is_path(run.data) and folder.root.resolve() == Path(run.data).resolve():
        raise UserError(f"--workdir: {str(folder.root)!r} is the folder of --data, give another one")
    started = workdir.load_config(folder)
    newest = checkpoints.latest_step(folder.checkpoints)
    resume = workdir.check_resume(config, started=started, checkpointed=newest is not None)
    test, passed_method = None, method
    if dataset is None:
        dataset = training_images(run)
    else:
        dataset, test = data.from_arrays(dataset, image_size=run.image_size)
    if resume:
        pictures.require_same(folder, dataset, name=run.data)
        for path in (folder.metrics, folder.timings):
            tracking.read_rows(path)  # raises if the file is damaged, as the next line does
        tracking.read_samples(folder)
    if run.batch_size > (size := dataset.size):
        raise UserError(f"--batch-size: {run.batch_size} is not allowed, {run.data} has {size} images")
    schedule = Schedule(size // run.batch_size, run)
    total = schedule.total_steps
    if resume and newest is not None and newest > total:
        done = newest / schedule.steps_per_epoch
        raise UserError(f"--epochs: {run.epochs} is not allowed, the run is already at epoch {done:g}")
    if run.profiled.stop > total:
        raise UserError(f"--profile: {run.profile!r} is not allowed, the run ends with step {total}")
    if (every := run.evaluate_every) is not None and every > run.epochs:
        raise UserError(f"--evaluate-every: {every} is not allowed, the run ends with epoch {run.epochs}")
    for warning in configs.check_schedules(config, total_steps=total, steps_per_epoch=schedule.steps_per_epoch):
        _log.warning(warning)

    axis_name = None if run.dry_run else mapped_axis(together)

    def build(values: Values, axis_name: str | None = axis_name) -> Method:
        return methods.build(
            dataclasses.replace(config.method, **values),
            image_shape=dataset.image_shape,
            classes=len(dataset.class_names),
            axis_name=axis_name,
            accumulate=run.accumulate,
            method=passed_method,
        )

    replicas = replicas_of(config, build)
    swept = replicas.fields if replicas else {}
    if swept:
        _require_sweepable(partial(build, axis_name=None), config, image_shape=dataset.image_shape)
    method = replicas.method(0) if replicas else build({})
    own = None
    if passed_method is not None:
        on_one_device = method if axis_name is None else build({}, None)
        own = fingerprint.fingerprint(on_one_device, image_shape=dataset.image_shape, batch_size=run.batch_size)
        if resume:
            fingerprint.require_same(folder, own)
    held_out = held_out_images(run, method) if test is None else test
    evaluate_samples = None
    if run.evaluate_every is not None:
        from jaxgan.runs.evaluate import during_training  # most runs do not need it

        of_each = {number: replicas.method(number) for number in range(len(members))} if replicas and swept else {}
        evaluate_samples = during_training(config, method, dataset, held_out, of_each=of_each)
    return Task(config, devices, dataset, held_out, build, method, replicas, resume, evaluate_samples, own)


def digests_of(task: Task) -> dict[str, str]:
    """Returns digests of the arrays and the method that a program passes: all processes must have the same."""
    digests = {"dataset": task.dataset.fingerprint} if task.config.run.data == data.ARRAYS else {}
    return digests | {f"method_{name}": digest for name, digest in (task.own.functions if task.own else {}).items()}


def replicas_of(config: Config, build: Callable[[Values], Method]) -> Replicas | None:
    """Returns the replicas of a run, with their seeds and swept values; None for a single run."""
    if not config.run.several:
        return None
    members, swept = configs.replica_configs(config), configs.swept_fields(config)
    fields = {name: [getattr(member.method, name) for member in members] for name in swept}
    return Replicas(build, [member.run.seed for member in members], fields)


def _require_one_process(run: Run, devices: Sequence[Device]) -> None:
    """Refuses replicas in several processes, and with pmap on several devices, as pmap has a single axis."""
    flag = "--sweep" if run.sweep else "--replicas"
    if jax.process_count() > 1:
        raise UserError(f"{flag}: is not allowed in {jax.process_count()} processes, replicas need a single one")
    if len(devices) > 1 and run.parallel == "pmap":
        raise UserError("--parallel: 'pmap' is not allowed with replicas on several devices, choose 'shard_map'")


def _require_sweepable(build: Callable[[Values], Method], config: Config, *, image_shape: tuple[int, int, int]) -> None:
    """Refuses to sweep fields that change more than numbers: what is computed, or the shape of the state."""
    swept = configs.swept_fields(config)
    wrong = [name for name, values in swept.items() if not is_numeric(build, name, values[0], image_shape=image_shape)]
    if wrong:
        values = {name: getattr(config.method, name) or 0.5 for name in configs.real_fields(config)}
        right = [name for name, value in values.items() if is_numeric(build, name, value, image_shape=image_shape)]
        raise UserError(
            f"--sweep: {wrong[0]!r} is not allowed, what is computed depends on it; choose from {', '.join(right)}, or "
            "train a run for each of its values"
        )


def training_images(run: Run) -> data.Dataset | data.Stream:
    """Opens the training images of a run, in memory or as a stream.

    Raises:
      UserError: if there is no such data set, it is not prepared and cannot be, or it is too large for memory.
    """
    if run.input == "stream":
        return data.stream(run.data, data_dir=run.data_dir, image_size=run.image_size)
    return data.load(run.data, data_dir=run.data_dir, image_size=run.image_size)


def held_out_images(run: Run, method: Method) -> data.Dataset:
    """Loads the test images of a run; with a stream only the first 10,000, and none if the method uses none."""
    if run.input == "memory":
        return data.load(run.data, split="test", data_dir=run.data_dir, image_size=run.image_size)
    used = method.evaluate or method.visualize or run.evaluate_every
    test = data.stream(run.data, split="test" if used else "train", data_dir=run.data_dir, image_size=run.image_size)
    return test.everything(most=HELD_OUT if used else 0)
