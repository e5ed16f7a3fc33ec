"""Training in a test: the method of a config on some of the devices here, in one go or stopped on the way."""

import dataclasses
import os
import signal
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgan.config import replica_configs
from jaxgan.data import Dataset, Stream
from jaxgan.methods import build
from jaxgan.runs.checkpoints import checkpoint_manager, latest_step, save
from jaxgan.runs.task import replicas_of
from jaxgan.runs.train import train
from jaxgan.runs.workdir import Workdir, begin
from jaxgan.runtime.devices import device_groups, mapped_axis
from jaxgan.runtime.program import initial_carry
from jaxgan.runtime.signals import Interrupted


class Part(NamedTuple):
    """A stretch of a run: what it trains on, and the step at which a signal stops it."""

    dataset: Dataset | Stream
    stop: int | None = None  # None: the end of the run
    killed: bool = False  # by a signal that leaves no time to save


class Killed(Exception):
    """Stands for a signal that leaves a run no time to save."""


def raising(number):
    """A function that fails as a system call does, by the number of its error."""

    def fail(*args, **options):
        raise OSError(number, os.strerror(number))

    return fail


def with_run(config, **fields):
    """The config with other fields of its run."""
    return dataclasses.replace(config, run=dataclasses.replace(config.run, **fields))


def train_config(config, dataset, *, devices=1, resume=False, change=lambda method: method, **options):
    """Trains the method of a config on the first devices; ``change`` gives the method other functions."""
    chosen = jax.devices()[:devices]
    together = chosen[: devices // device_groups(devices, replicas=len(replica_configs(config)))]

    def made(values):
        return change(
            build(
                dataclasses.replace(config.method, **values),
                image_shape=dataset.image_shape,
                classes=len(dataset.class_names),
                axis_name=mapped_axis(together),
                accumulate=config.run.accumulate,
            )
        )

    return train(config, made({}), dataset, chosen, resume=resume, replicas=replicas_of(config, made), **options)


def train_in_parts(config, *parts, seconds_per_call=0.0, **options):
    """Trains part after part, each resuming from the one before; returns what must not depend on the parts."""
    for number, part in enumerate(parts):
        reached = [0]

        def report(now, *, part=part, reached=reached):
            reached[0] = now.step
            if part.killed and now.step >= part.stop:
                raise Killed

        def stop(*, part=part, reached=reached):
            return signal.SIGTERM if part.stop is not None and reached[0] >= part.stop else None

        options |= {"resume": number > 0, "report": report, "stop": stop, "seconds_per_call": seconds_per_call}
        try:
            train_config(config, part.dataset, **options)
        except (Killed, Interrupted):
            assert reached[0] == part.stop
    return content(config.run.workdir)


def save_run(config, method, *, states, image_shape=(28, 28, 1)):
    """Writes the folder of a run that never was: a config, and checkpoints of states by step."""
    folder, fresh = Workdir(config.run.workdir), partial(initial_carry, method, image_shape=image_shape)
    carry = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(fresh, np.uint32(0)))
    begin(folder, config, resume=False)
    with checkpoint_manager(folder.checkpoints) as manager:
        for step, state in states.items():
            save(manager, carry.replace(state=state), step=step)


def files_below(root):
    """The bytes of every file below a folder."""
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}


def snapshot(root):
    """All there is below a folder: names, times of change, bytes."""
    return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else None) for p in (root, *root.rglob("*"))}


def content(folder):
    """What a run leaves behind and no interruption may change: metrics and samples as bytes, and the last state."""
    paths = Workdir(folder)
    written = [paths.metrics, *sorted(p for p in paths.samples.rglob("*") if p.is_file())]
    files = {str(p.relative_to(folder)): p.read_bytes() for p in written}
    return files, final_state(folder)


def final_state(folder):
    """The arrays of a run's newest checkpoint."""
    return restored_arrays(Workdir(folder).checkpoints)


def restored_arrays(directory, *, step=None):
    """The arrays of a checkpoint in a folder, of the newest one without ``step``."""
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with checkpoint_manager(directory, read_only=True) as manager:
        step = latest_step(directory) if step is None else step
        restored = manager.restore(step, args=ocp.args.StandardRestore(fallback_sharding=here))
    return jax.tree.map(np.asarray, restored)


def assert_same(found, expected):
    """Asserts that two runs left the same bytes."""
    assert found[0].keys() == expected[0].keys()
    for name, data in expected[0].items():
        assert found[0][name] == data, name
    jax.tree.map(np.testing.assert_array_equal, found[1], expected[1])
