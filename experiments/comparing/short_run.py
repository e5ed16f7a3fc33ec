"""A short training on some real digits, in a process of its own that can be killed: `python -m comparing.short_run`.

Its arguments are runs as JSON. It trains by the very loops that the scripts of the designs use, and goes on from the
checkpoint in a run's folder if there is one.
"""

import copy
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from benchmarking.competitors import CASES

from comparing import checkpoint_items as items
from comparing.designs import FUNCTIONAL, NNX, PYTORCH
from jaxgan import data, methods
from jaxgan.data import Dataset

STEPS_PER_EPOCH = 10  # each epoch ends with a row of metrics and a checkpoint
SEED = 0


@dataclass(frozen=True)
class ShortRun:
    """One training.

    Attributes:
      design: one of `designs.DESIGNS`.
      method: what trains, with the sizes of its recipe.
      folder: its working directory.
      epochs: how long, `STEPS_PER_EPOCH` steps each.
      kill_at: the step at which the process kills itself, once the checkpoint of the last epoch is on disk.
      without: what a run that goes on does not take from the checkpoint but begins anew.
      data_dir: where the data set lies prepared.
    """

    design: str
    method: str
    folder: str
    epochs: int
    kill_at: int | None = None
    without: str | None = None
    data_dir: str | None = None

    def die(self, step: int) -> None:
        """Kills the process without a warning if this is the step; nothing gets to clean up."""
        if step == self.kill_at:
            saved = step - step % STEPS_PER_EPOCH
            while not (Path(self.folder, "checkpoints", str(saved)).exists() or Path(self.folder, PT).exists()):
                time.sleep(0.01)  # Orbax saves in the background
            os.kill(os.getpid(), signal.SIGKILL)


PT = items.PYTORCH_FILE


def functional(run: ShortRun, digits: Dataset, *, batch_size: int) -> None:
    """Trains the functional design."""
    from jaxgan.config import Run
    from jaxgan.runtime import checkpoints
    from jaxgan.runtime.loop import train
    from jaxgan.runtime.program import initial_carry

    paths = Run(workdir=Path(run.folder), epochs=run.epochs, batch_size=batch_size, checkpoint_every=1, seed=SEED)
    config = dataclasses.replace(CASES[run.method].config, run=dataclasses.replace(paths, sample_epochs=()))
    directory = Path(run.folder, "checkpoints")
    step = checkpoints.latest_step(directory)
    if step is not None and run.without:
        method, shape = config.method, digits.images.shape[1:]
        init = jax.jit(lambda seed: initial_carry(methods.build(method, image_shape=shape), seed, image_shape=shape))
        fresh = init(jnp.uint32(SEED))
        with checkpoints.checkpoint_manager(directory) as manager:
            saved = checkpoints.restore(manager, fresh, step=step, sharding=fresh.count.sharding)
            manager.delete(step)
            checkpoints.save(manager, items.without(saved, fresh, run.without), step=step)
    train(
        config,
        digits,
        jax.devices()[:1],
        resume=step is not None,
        report=lambda progress: run.die(progress.step),
        seconds_a_call=0.0,  # one step a call
    )


def pytorch(run: ShortRun, digits: Dataset, *, batch_size: int) -> None:
    """Trains the twin in PyTorch."""
    from imperative import training as loops
    from imperative.requirements import torch
    from imperative.twins import twin_of

    options = loops.Options(Path(run.folder), run.epochs, batch_size=batch_size, checkpoint_every=STEPS_PER_EPOCH)
    torch.manual_seed(SEED)
    images = loops.on_device(digits.images, "cpu")
    training = loops.Training(twin_of(CASES[run.method].config.method), images, options)
    options.workdir.mkdir(parents=True, exist_ok=True)
    if (options.workdir / PT).exists():
        saved, fresh = torch.load(options.workdir / PT, weights_only=True), copy.deepcopy(training.state_dict())
        training.load_state_dict(items.pytorch_without(saved, fresh, run.without))
    if run.kill_at is not None:
        _deadly(loops, run, start=training.step)
    training.run()


def nnx(run: ShortRun, digits: Dataset, *, batch_size: int) -> None:
    """Trains the twin in NNX."""
    from flax import nnx as flax_nnx
    from imperative import nnx_training as loops
    from imperative.nnx_dcgan import DCGAN
    from imperative.nnx_vanilla_gan import VanillaGAN

    options = loops.Options(Path(run.folder), run.epochs, batch_size=batch_size, checkpoint_every=STEPS_PER_EPOCH)
    twin = {"vanilla_gan": VanillaGAN, "dcgan": DCGAN}[run.method](seed=SEED)
    training = loops.Training(twin, digits.images, options)
    options.workdir.mkdir(parents=True, exist_ok=True)
    with loops.open_checkpoints(options.workdir) as checkpoints:
        if checkpoints.latest_step() is not None:
            fresh = training.state()
            training.load(checkpoints)
            flax_nnx.update(twin, items.without(training.state(), fresh, run.without)["twin"])
        if run.kill_at is not None:
            _deadly(loops, run, start=training.step)
        training.run(checkpoints)


def _deadly(loops: Any, run: ShortRun, *, start: int) -> None:
    """Makes the batch after a step the last thing that a twin's loop asks for."""
    gather, steps = loops.batch, iter(range(start, sys.maxsize))

    def batch(*args: Any) -> Any:
        run.die(next(steps))
        return gather(*args)

    loops.batch = batch


TRAIN: dict[str, Callable[..., None]] = {FUNCTIONAL: functional, PYTORCH: pytorch, NNX: nnx}


def train(run: ShortRun) -> None:
    """Trains one run to its end, or to its death."""
    batch_size = CASES[run.method].config.run.batch_size
    everything = data.load("mnist", data_dir=run.data_dir and Path(run.data_dir))
    count = STEPS_PER_EPOCH * batch_size
    digits = everything._replace(images=everything.images[:count], labels=everything.labels[:count])
    TRAIN[run.design](run, digits, batch_size=batch_size)


if __name__ == "__main__":
    for text in sys.argv[1:]:
        train(ShortRun(**json.loads(text)))
