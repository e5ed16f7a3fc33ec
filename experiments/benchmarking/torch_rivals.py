"""The rivals in PyTorch: the imperative twins, on images that stay on the device as bytes."""

import numpy as np
import torch
from imperative.training import batch, on_device
from imperative.twins import twin_of
from jaxtyping import UInt8

from benchmarking.turns import Run
from jaxgan.config import Config

WARM_UP = 3  # steps, enough for every compilation


def trainer(
    config: Config,
    images: UInt8[np.ndarray, "n height width channels"],
    *,
    device: str,
    tuned: bool = False,
    compiled: bool = False,
) -> Run:
    """Makes the function that trains the twin of a method; nothing is fetched inside of its loop.

    Args:
      config: the method, and how many images a step has.
      images: the training images.
      device: where PyTorch runs.
      tuned: whether the twin goes beyond the usual script, and has channels last, which oneDNN and cuDNN like.
      compiled: whether its losses pass through ``torch.compile``.

    Returns:
      The function, warmed up: the first steps compile.

    Raises:
      NotImplementedError: if the twin cannot be compiled.
    """
    twin = twin_of(config.method, device=device, tuned=tuned, compiled=compiled)
    if tuned:
        twin.to(memory_format=torch.channels_last)
    data, size, done = on_device(images, device), config.run.batch_size, 0
    steps_per_epoch = len(data) // size

    def run(count: int) -> None:
        nonlocal done
        order, sums = torch.randperm(len(data), device=device), 0.0
        for i in range(count):
            start = i % steps_per_epoch * size
            sums += torch.stack(list(twin.train_step(batch(data, order[start : start + size]), done).values()))
            done += 1
        sums.tolist()  # waits for the device

    run(WARM_UP)
    return run


def matrix_product(size: int, *, device: str) -> Run:
    """Makes a function that multiplies two square float32 matrices so many times, for the peak of the machine."""
    x, y = torch.randn(2, size, size, device=device)

    def run(count: int) -> None:
        for _ in range(count):
            z = x @ y
        z[0, 0].item()

    run(1)
    return run
