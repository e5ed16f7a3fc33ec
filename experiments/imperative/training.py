"""Training of the PyTorch twins: the loop, a checkpoint to resume a killed run, and the command line."""

import contextlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from safetensors import SafetensorError

from imperative.requirements import torch
from jaxgan import data
from jaxgan.errors import UserError, one_line_errors, parse

nn, Tensor = torch.nn, torch.Tensor

SAMPLES = 256
FIXED = ("data", "batch_size", "seed")  # options that a resumed run cannot change


@dataclass(frozen=True)
class Options:
    """Trains a twin in PyTorch; the same command resumes from its checkpoint."""

    workdir: Path  # folder for metrics, checkpoint and samples
    epochs: int = 1  # passes over the data
    steps: int | None = None  # maximum number of steps; None: all epochs
    batch_size: int = 64  # images per step; an incomplete last batch is dropped
    seed: int = 0  # seed of weights, data order and random numbers
    checkpoint_every: int = 1000  # steps between checkpoints; the last step always saves one
    weights: Path | None = None  # safetensors file of `jaxgan export` with initial weights; None: random
    compile: bool = False  # compile the losses and their gradients with torch.compile
    device: Literal["cpu", "cuda"] = "cpu"  # device to train on
    data: str = "mnist"  # data set
    data_dir: Path | None = None  # folder of prepared TFDS data sets; None: TFDS_DATA_DIR or ~/tensorflow_datasets


class Training:
    """The state of training: the twin, the data order, the step, and the sums of metrics in the current epoch."""

    def __init__(self, twin: nn.Module, images: Tensor, options: Options):
        self.twin, self.images, self.options = twin, images, options
        self.shuffler = torch.Generator().manual_seed(options.seed)
        self.step = 0
        self.sums: dict[str, Tensor] = {}
        self.start_epoch()

    def start_epoch(self) -> None:
        """Draws the order of the next epoch."""
        self.shuffler_before = self.shuffler.get_state()
        self.order = torch.randperm(len(self.images), generator=self.shuffler)
        self.sums = {}

    def state_dict(self) -> dict[str, Any]:
        """Collects what resuming bit for bit needs: weights, optimizers, order, random state and metrics."""
        return {
            "twin": self.twin.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers(self.twin).items()},
            "step": self.step,
            "sums": self.sums,
            "shuffler": self.shuffler_before,
            "random": torch.get_rng_state(),
            "options": {name: getattr(self.options, name) for name in FIXED},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` collected."""
        for name, value in state["options"].items():
            if (given := getattr(self.options, name)) != value:
                flag = name.replace("_", "-")
                raise UserError(f"--{flag}: {given!r} is not allowed, the run was started with {value!r}")
        self.twin.load_state_dict(state["twin"])
        for name, optimizer in optimizers(self.twin).items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.shuffler.set_state(state["shuffler"])
        self.start_epoch()
        self.step, self.sums = state["step"], state["sums"]
        torch.set_rng_state(state["random"])

    def save(self) -> None:
        """Replaces the checkpoint atomically."""
        path = self.options.workdir / "checkpoint.pt"
        torch.save(self.state_dict(), path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def run(self) -> None:
        """Trains to the last step and logs the means of every epoch."""
        size, steps_per_epoch = self.options.batch_size, len(self.images) // self.options.batch_size
        last = min(self.options.epochs * steps_per_epoch, self.options.steps or sys.maxsize)
        while self.step < last:
            start = self.step % steps_per_epoch * size
            metrics = self.twin.train_step(batch(self.images, self.order[start : start + size]), self.step)
            self.sums = {name: self.sums.get(name, 0.0) + value for name, value in metrics.items()}
            self.step += 1
            if self.step % steps_per_epoch == 0:
                self.log({name: float(total) / steps_per_epoch for name, total in self.sums.items()})
                self.start_epoch()
            if self.step % self.options.checkpoint_every == 0 or self.step == last:
                self.save()

    def log(self, means: dict[str, float]) -> None:
        """Adds a row to the metrics and drops rows that a killed run wrote after its last checkpoint."""
        path = self.options.workdir / "metrics.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        rows = [row for row in rows if row["step"] < self.step] + [{"step": self.step, **means}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"step {self.step}:", ", ".join(f"{name} {value:.4f}" for name, value in means.items()), flush=True)


def optimizers(twin: nn.Module) -> dict[str, torch.optim.Optimizer]:
    """Returns the optimizers among a twin's attributes, by name."""
    return {name: value for name, value in vars(twin).items() if isinstance(value, torch.optim.Optimizer)}


def batch(images: Tensor, chosen: Tensor) -> Tensor:
    """Gathers a batch and scales it to [-1, 1]."""
    return images[chosen].float() / 127.5 - 1


def on_device(images: np.ndarray, device: str) -> Tensor:
    """Copies images [n, height, width, channels] to a device, with channels first."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)


def main(make: Callable[..., nn.Module], defaults: Options) -> None:
    """Trains a twin as a command.

    Args:
      make: builds the twin.
      defaults: default of each flag.
    """
    program = make.__name__.lower()
    with one_line_errors(program):
        run(make, parse(lambda: tyro.cli(Options, default=defaults, prog=program)))


def run(make: Callable[..., nn.Module], options: Options, *, images: np.ndarray | None = None) -> Training:
    """Trains a twin, resuming from its checkpoint if there is one, and writes samples.

    Args:
      make: builds the twin.
      options: the command's flags.
      images: override the images of the data set, [n, height, width, channels], values from 0 to 255.

    Returns:
      The finished training.

    Raises:
      UserError: if the options do not fit the data, the twin or the weights.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device: 'cuda' is not available, choose cpu")
    images = data.load(options.data, data_dir=options.data_dir).images if images is None else images
    for flag, value, most in (
        ("epochs", options.epochs, sys.maxsize),
        ("steps", options.steps, sys.maxsize),
        ("batch-size", options.batch_size, len(images)),
        ("checkpoint-every", options.checkpoint_every, sys.maxsize),
    ):
        if value is not None and not 1 <= value <= most:
            raise UserError(f"--{flag}: {value} is not allowed, it must be between 1 and {most}")
    torch.manual_seed(options.seed)
    try:
        twin = make(device=options.device, compiled=options.compile)
    except NotImplementedError as error:
        raise UserError(f"--compile: {error}") from error
    if options.weights is not None:
        from safetensors.torch import load_file  # imports PyTorch, so `requirements` must be imported first

        with fitting("--weights", options.weights):
            twin.load_state_dict(load_file(options.weights))
    training = Training(twin, on_device(images, options.device), options)
    if (checkpoint := options.workdir / "checkpoint.pt").exists():
        with fitting("--workdir", checkpoint):
            training.load_state_dict(torch.load(checkpoint, weights_only=True))
        print(f"resuming from step {training.step}")
    options.workdir.mkdir(parents=True, exist_ok=True)
    training.run()
    pictures = ((twin.sample(SAMPLES) + 1) * 127.5).round().clamp(0, 255).byte().cpu()
    np.savez_compressed(options.workdir / "samples.npz", images=pictures.permute(0, 2, 3, 1).numpy())
    print(f"wrote {', '.join(sorted(path.name for path in options.workdir.iterdir()))} in {options.workdir}")
    return training


@contextlib.contextmanager
def fitting(flag: str, path: Path) -> Iterator[None]:
    """Turns library errors about a damaged or incompatible file into a one-line UserError."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(f"{flag}: {str(path)!r} does not fit or is damaged ({text})") from error
