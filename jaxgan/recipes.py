"""The recipes: named configs for ``jaxgan train NAME`` and the scripts in ``experiments/``.

The docstring of a script has the time that its recipe takes, the results to expect and what to read.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxgan.config import Config, Run
from jaxgan.data import key
from jaxgan.data.catalog import find
from jaxgan.evaluation import feature_network
from jaxgan.methods.autoencoder import Autoencoder
from jaxgan.methods.classifier import Classifier
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.flow_matching import FlowMatching
from jaxgan.methods.residual_gan import ResidualGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN
from jaxgan.runs.load import load_run


class Recipe(NamedTuple):
    """A training config with a summary."""

    about: str  # one line, for the list of recipes
    config: Config
    finish: Callable[[Config, Path], None] | None = None  # runs after training, with the config and the workdir


def steps(epochs: int, batch_size: int, *, data: str = "mnist") -> int:
    """Returns the steps of a run, over which learning rates decay."""
    return epochs * (find(data).examples["train"] // batch_size)


def keep_weights(config: Config, folder: Path) -> None:
    """Writes the weights of a trained classifier in half precision, where ``jaxgan evaluate`` finds them.

    Args:
      config: the config of the run.
      folder: the workdir of the run.
    """
    trained, data, path = load_run(folder), config.run.data, folder / "classifier.safetensors"
    about = {name: vars(config.method)[name] for name in ("network", "width")}
    about |= {"data": key(data, config.run.image_size), "classes": trained.classes}
    print(feature_network.keep(path, trained.state.network.variables, **about))
    if data not in feature_network.PINNED:
        target = feature_network.cached(data, config.run.image_size)
        target.parent.mkdir(parents=True, exist_ok=True)
        print(shutil.copyfile(path, target))


# In the order of the chapter, followed by methods beyond it.
RECIPES = {
    "autoencoder": Recipe(
        "an autoencoder that compresses digits to 32 numbers, compared with PCA",
        Config(
            Autoencoder(),
            Run(Path("runs/autoencoder"), epochs=10, batch_size=128, sample_epochs=(1, 2, 4, 10)),
        ),
    ),
    "vae": Recipe(
        "a variational autoencoder, whose prior makes the decoder a generator",
        Config(VAE(), Run(Path("runs/vae"), epochs=10, batch_size=128, sample_epochs=(1, 2, 4, 10))),
    ),
    "vanilla_gan": Recipe(
        "the first GAN, with fully connected networks", Config(VanillaGAN(), Run(Path("runs/vanilla_gan")))
    ),
    "dcgan": Recipe(
        "a convolutional GAN with batch norm; class-conditional with --conditional",
        Config(DCGAN(), Run(Path("runs/dcgan"), epochs=15, checkpoint_every=1, sample_epochs=(1, 2, 4, 8, 15))),
    ),
    "wgan": Recipe(
        "a Wasserstein GAN, whose critic has a gradient penalty",
        Config(WGAN(), Run(Path("runs/wgan"), epochs=15, checkpoint_every=1, sample_epochs=(1, 2, 4, 8, 15))),
    ),
    "r3gan": Recipe(
        "beyond the chapter: a conditional GAN with relativistic loss and two gradient penalties",
        Config(
            DCGAN(
                latent_size=32,
                conditional=True,
                bias=True,
                generator_norm="none",
                discriminator_norm="none",
                loss="relativistic",
                r1_weight=0.1,
                r2_weight=0.1,
                penalty_every=4,
                classification_weight=0.006,
                generator_learning_rate=1e-3,
                discriminator_learning_rate=1e-3,
                decay_steps=steps(24, 32),
                beta1=0.0,
                beta2=0.99,
                ema_decay=0.999,
            ),
            Run(Path("runs/r3gan"), epochs=24, batch_size=32, checkpoint_every=1, sample_epochs=(1, 2, 4, 8, 24)),
        ),
    ),
    "flow_matching": Recipe(
        "beyond GANs: regression on the velocity that transports noise to images",
        Config(
            FlowMatching(decay_steps=steps(10, 32)),
            Run(
                Path("runs/flow_matching"), epochs=10, batch_size=32, checkpoint_every=1, sample_epochs=(1, 2, 4, 8, 10)
            ),
        ),
    ),
    "cifar10": Recipe(
        "a GAN with residual networks on color photographs, for a GPU or TPU",
        Config(
            ResidualGAN(
                width=128,
                blocks=2,
                r1_weight=0.05,
                r2_weight=0.05,
                compute_dtype="bfloat16",
                decay_steps=steps(400, 256, data="cifar10"),
                ema_decay=0.9995,
            ),
            Run(
                Path("runs/cifar10"),
                data="cifar10",
                epochs=400,
                batch_size=256,
                sample_epochs=(1, 4, 20, 100, 200, 400),
            ),
        ),
    ),
    "celeba": Recipe(
        "a GAN with residual networks on streamed 64 x 64 faces, for a GPU or TPU",
        Config(
            ResidualGAN(
                width=64,
                blocks=2,
                r1_weight=1.0,
                r2_weight=1.0,
                compute_dtype="bfloat16",
                decay_steps=steps(120, 256, data="celeb_a"),
                ema_decay=0.9995,
            ),
            Run(
                Path("runs/celeba"),
                data="celeb_a",
                input="stream",
                epochs=120,
                batch_size=256,
                checkpoint_every=4,
                sample_epochs=(1, 4, 10, 30, 60, 120),
            ),
        ),
    ),
    "digit_classifier": Recipe(
        "the classifier whose features jaxgan evaluate uses",
        Config(
            Classifier(decay_steps=steps(10, 128)),
            Run(Path("runs/digit_classifier"), epochs=10, batch_size=128, checkpoint_every=1),
        ),
        keep_weights,
    ),
}
