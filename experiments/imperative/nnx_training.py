"""Training of the NNX twins: the loop, checkpoints to resume a killed run, and the command line."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import tyro
from absl import logging
from flax import nnx

from imperative.nnx_gan import GAN, METRICS
from jaxgan import data
from jaxgan.errors import UserError, one_line_errors, parse

SAMPLES = 256
FIXED = ("data", "batch_size", "seed")  # options that a resumed run cannot change


@dataclass(frozen=True)
class Options:
    """Trains a twin in Flax NNX; the same command resumes from its checkpoint."""

    workdir: Path  # folder for metrics, checkpoints and samples
    epochs: int = 1  # passes over the data
    steps: int | None = None  # maximum number of steps; None: all epochs
    batch_size: int = 64  # images per step; an incomplete last batch is dropped
    seed: int = 0  # seed of weights, data order and random numbers
    checkpoint_every: int = 1000  # steps between checkpoints; the last step always saves one
    data: str = "mnist"  # data set
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


class Training:
    """The state of training: the twin, the step, and the sums of metrics in the current epoch."""

    def __init__(self, twin: GAN, images: np.ndarray, options: Options):
        self.twin, self.images, self.options = twin, images, options
        self.step = 0
        self.start_epoch()

    def start_epoch(self) -> None:
        """Draws the data order of the current epoch, a function of seed and epoch."""
        epoch = self.step // (len(self.images) // self.options.batch_size)
        self.order = np.random.default_rng((self.options.seed, epoch)).permutation(len(self.images))
        self.sums = dict.fromkeys(METRICS, jnp.zeros(()))

    def state(self) -> dict[str, Any]:
        """Returns everything to resume bit for bit: the twin holds its optimizers and random streams."""
        return {"twin": nnx.to_pure_dict(nnx.state(self.twin)), "step": self.step, "sums": self.sums}

    def save(self, checkpoints: ocp.CheckpointManager) -> None:
        """Saves a checkpoint in the background."""
        options = {name: getattr(self.options, name) for name in FIXED}
        items = {"state": ocp.args.StandardSave(self.state()), "options": ocp.args.JsonSave(options)}
        checkpoints.save(self.step, args=ocp.args.Composite(**items))

    def load(self, checkpoints: ocp.CheckpointManager) -> None:
        """Restores the newest checkpoint."""
        items = {"state": ocp.args.StandardRestore(self.state()), "options": ocp.args.JsonRestore()}
        saved = checkpoints.restore(checkpoints.latest_step(), args=ocp.args.Composite(**items))
        state = saved["state"]
        for name, value in saved["options"].items():
            if (given := getattr(self.options, name)) != value:
                flag = name.replace("_", "-")
                raise UserError(f"--{flag}: {given!r} is not allowed, the run was started with {value!r}")
        nnx.update(self.twin, state["twin"])
        self.step = state["step"]
        self.start_epoch()
        self.sums = {name: state["sums"][name] for name in METRICS}  # Orbax sorts the keys

    def run(self, checkpoints: ocp.CheckpointManager) -> None:
        """Trains to the last step and logs the mean metrics of every epoch."""
        size, steps_per_epoch = self.options.batch_size, len(self.images) // self.options.batch_size
        last = min(self.options.epochs * steps_per_epoch, self.options.steps or sys.maxsize)
        while self.step < last:
            start = self.step % steps_per_epoch * size
            metrics = self.twin.train_step(batch(self.images, self.order[start : start + size]))
            self.sums = {name: total + metrics[name] for name, total in self.sums.items()}
            self.step += 1
            if self.step % steps_per_epoch == 0:
                self.log({name: float(total) / steps_per_epoch for name, total in self.sums.items()})
                self.start_epoch()
            if self.step % self.options.checkpoint_every == 0 or self.step == last:
                self.save(checkpoints)

    def log(self, means: dict[str, float]) -> None:
        """Appends a row to the metrics and drops rows that a killed run wrote after its last checkpoint."""
        path = self.options.workdir / "metrics.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        rows = [row for row in rows if row["step"] < self.step] + [{"step": self.step, **means}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"step {self.step}:", ", ".join(f"{name} {value:.4f}" for name, value in means.items()), flush=True)


def batch(images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Gathers a batch and scales it to [-1, 1]."""
    return images[chosen].astype(np.float32) / 127.5 - 1


def open_checkpoints(workdir: Path) -> ocp.CheckpointManager:
    """Opens the checkpoints of a run, which keep only the newest."""
    options = ocp.CheckpointManagerOptions(max_to_keep=1, cleanup_tmp_directories=True)
    return ocp.CheckpointManager((workdir / "checkpoints").absolute(), options=options)


def main(make: Callable[..., GAN], defaults: Options) -> None:
    """Trains a twin as a command.

    Args:
      make: builds the twin.
      defaults: default of each flag.
    """
    program = f"nnx_{make.__name__.lower()}"
    logging.set_verbosity(logging.FATAL)  # Orbax logs each save
    with one_line_errors(program):
        run(make, parse(lambda: tyro.cli(Options, default=defaults, prog=program)))


def run(
    make: Callable[..., GAN], options: Options, *, images: np.ndarray | None = None, samples: int = SAMPLES
) -> Training:
    """Trains a twin, resuming from its checkpoint if there is one, and writes samples.

    Args:
      make: builds the twin.
      options: the command's flags.
      images: override the images of the data set, [n, height, width, channels], values from 0 to 255.
      samples: number of samples to write.

    Returns:
      The finished training.

    Raises:
      UserError: if the options do not fit the data or the existing run, or its checkpoint is damaged.
    """
    images = data.load(options.data, data_dir=options.data_dir).images if images is None else images
    for flag, value, most in (
        ("epochs", options.epochs, sys.maxsize),
        ("steps", options.steps, sys.maxsize),
        ("batch-size", options.batch_size, len(images)),
        ("checkpoint-every", options.checkpoint_every, sys.maxsize),
    ):
        if value is not None and not 1 <= value <= most:
            raise UserError(f"--{flag}: {value} is not allowed, it must be between 1 and {most}")
    training = Training(make(seed=options.seed), images, options)
    options.workdir.mkdir(parents=True, exist_ok=True)
    with open_checkpoints(options.workdir) as checkpoints:
        if checkpoints.latest_step() is not None:
            try:
                training.load(checkpoints)
            except (ValueError, KeyError, FileNotFoundError) as error:  # from Orbax and TensorStore
                text = " ".join(str(error).split())[:200]
                raise UserError(f"--workdir: {str(options.workdir)!r} does not fit or is damaged ({text})") from error
            print(f"resuming from step {training.step}")
        training.run(checkpoints)
    pictures = np.clip(np.round((np.asarray(training.twin.sample(samples)) + 1) * 127.5), 0, 255).astype(np.uint8)
    np.savez_compressed(options.workdir / "samples.npz", images=pictures)
    print(f"wrote {', '.join(sorted(path.name for path in options.workdir.iterdir()))} in {options.workdir}")
    return training
