"""The programs in PyTorch that the hazards are put into: a twin, trained from a seed on."""

from collections.abc import Callable

import numpy as np
from imperative.dcgan import dcgan
from imperative.gan import GAN
from imperative.requirements import torch
from imperative.training import on_device
from imperative.vanilla_gan import vanilla_gan

from comparing.hazards.pairs import Quantities, Setting

Tensor = torch.Tensor

RECORDED = {"discriminator_loss": "loss of D", "generator_loss": "loss of G", "real_probability": "D(x) in training"}
RECORDED |= {"stray_gradient": "gradient left in G by the loss of D"}


def own_step(twin: GAN, images: Tensor) -> dict[str, Tensor]:
    """The twin's own step."""
    return twin.train_step(images, 0)


def no_look(twin: GAN) -> None:
    """Trains without looking at samples on the way."""


def train(
    setting: Setting, twin: GAN, *, step: Callable = own_step, look: Callable[[GAN], object] = no_look
) -> dict[str, np.ndarray]:
    """Trains a twin.

    Args:
      setting: on what, and for how long.
      twin: what is trained.
      step: from (twin, images) to metrics.
      look: what is done on the way, every ``setting.look_every`` steps.

    Returns:
      Losses and D(x) of every step, and samples of the trained twin, from latents that depend on the seed alone.
    """
    rows = []
    for number, images in enumerate(setting.batches()):
        metrics = step(twin, channels_first(images))
        rows.append({title: float(metrics[name]) for name, title in RECORDED.items() if name in metrics})
        if setting.looks(number):
            look(twin)
    torch.manual_seed(setting.seed + 1)
    series = {title: np.array([row[title] for row in rows]) for title in rows[0]}
    return {**series, "samples": pictures(twin.sample(setting.count))}


def channels_first(images: np.ndarray) -> Tensor:
    """Images in the order of axes that PyTorch's layers take."""
    return on_device(images, "cpu")


def pictures(images: Tensor) -> np.ndarray:
    """Images with channels last."""
    return images.detach().permute(0, 2, 3, 1).numpy()


def small_dcgan(setting: Setting) -> GAN:
    """A narrow DCGAN, for its batch statistics."""
    return dcgan(width=setting.width)


def seeded(run: Callable[[Setting, Callable], Quantities]) -> Callable[[Setting, Callable], Quantities]:
    """Runs a program on the global stream of random numbers from the seed on, and leaves that stream as it was."""

    def alone(setting: Setting, piece: Callable) -> Quantities:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setting.seed)
            return run(setting, piece)

    return alone


@seeded
def with_step(setting: Setting, step: Callable) -> Quantities:
    """Trains the vanilla GAN with a step of one's own."""
    return train(setting, vanilla_gan(), step=step)


@seeded
def with_look(setting: Setting, look: Callable) -> Quantities:
    """Trains the vanilla GAN and looks at samples on the way."""
    return train(setting, vanilla_gan(), look=look)


@seeded
def with_look_at_dcgan(setting: Setting, look: Callable) -> Quantities:
    """Trains a DCGAN and looks at samples on the way."""
    return train(setting, small_dcgan(setting), look=look)
