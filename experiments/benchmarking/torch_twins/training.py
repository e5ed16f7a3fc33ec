"""What the PyTorch twins have in common: images that stay on the device as bytes, and the loop over steps."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from benchmarking.turns import Run

BYTES_TO_UNIT = 127.5
WARM_UP = 3  # steps, enough for every compilation


class Twin(NamedTuple):
    """A method in PyTorch.

    Attributes:
      networks: what is trained, by our names.
      metrics: the names of what a step records.
      step: from the indices of a batch and the number of the step, from 0, to the metrics; it trains the networks.
    """

    networks: Mapping[str, nn.Module]
    metrics: tuple[str, ...]
    step: Callable[[Tensor, int], Tensor]


def on_device(
    images: UInt8[np.ndarray, "n height width channels"], device: str
) -> UInt8[Tensor, "n channels height width"]:
    """Copies images to a device, in PyTorch's order of the axes."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device)


def batch_of(data: Tensor, chosen: Tensor) -> Tensor:
    """Gathers a batch and scales it to [-1, 1]."""
    return data[chosen].float().div(BYTES_TO_UNIT).sub(1)


def adam(module: nn.Module, rate: float, betas: tuple[float, float], *, tuned: bool) -> torch.optim.Optimizer:
    """The optimizer of a network; the tuned one updates all parameters in one kernel."""
    return torch.optim.Adam(module.parameters(), rate, betas, fused=tuned or None)


def trainer(twin: Twin, *, examples: int, batch_size: int, device: str) -> Run:
    """Makes the function that trains; nothing is fetched inside of its loop.

    Args:
      twin: the method.
      examples: how many images there are.
      batch_size: images in a step.
      device: where they lie.

    Returns:
      The function, warmed up: the first steps compile.
    """
    steps_per_epoch, done = examples // batch_size, 0

    def run(count: int) -> None:
        nonlocal done
        order = torch.randperm(examples, device=device)
        sums = torch.zeros(len(twin.metrics), device=device)
        for i in range(count):
            start = i % steps_per_epoch * batch_size
            sums += twin.step(order[start : start + batch_size], done)
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
