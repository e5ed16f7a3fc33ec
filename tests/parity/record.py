"""Records short trajectories of the PyTorch twins, so that parity is checked where PyTorch is not installed too.

    python tests/parity/record.py

makes everything in `tests/parity/recorded` anew: for each method its initial weights, the metrics of every step, the
gradients and statistics of the first step, and all weights, statistics, moments and gradients of the last one, in
float64, with the versions of what made them; and how ``torch.nn`` draws initial weights. It gives the same numbers each
time, on machines of one kind to the last bit. The twins see the first digits of MNIST; `digits.npz` is made from the
prepared data set if it is missing.
"""

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from imperative.agreement import Arrays
from imperative.parity import Setting, Trajectory

from jaxgan import config as configs

FOLDER = Path(__file__).parent / "recorded"
CONFIGS = {
    "vanilla_gan": configs.VanillaGAN(latent_size=4, hidden_units=8),
    "dcgan": configs.DCGAN(latent_size=2, width=2),
    "wgan": configs.WGAN(latent_size=2, width=2),
    "vae": configs.VAE(latent_size=3, hidden_units=8, beta=1.5, ema_decay=0.0),
}
BATCH, STEPS, DIGITS = 4, 5, 200  # the fifth step of a Wasserstein GAN is the first of its generator
LAYERS = {  # with as many weights that the ends of their law are met
    "linear": ("Linear", (300, 400)),
    "convolution": ("Conv2d", (40, 60, 4)),
    "transposed convolution": ("ConvTranspose2d", (40, 60, 4)),
}


def digits(kind: str) -> np.ndarray:
    """Reads the digits that a method sees: whole for convolutions, every fourth row and column for dense layers."""
    images = np.load(FOLDER / "digits.npz")["images"]
    return images if kind in ("dcgan", "wgan") else images[:, ::4, ::4]


def batches(kind: str, *, size: int = BATCH) -> Callable[[int], np.ndarray]:
    """Gives each step the next digits, and the first ones after the last."""
    images = digits(kind)
    return lambda step: images[np.arange(step * size, (step + 1) * size) % len(images)]


def setting(kind: str, **changes) -> Setting:
    """What a recorded trajectory was made of; for our method the recorded weights are to be added."""
    defaults = {"steps": STEPS, "looks": (1, STEPS)}
    return Setting(CONFIGS[kind], batches(kind), **(defaults | changes))


def read(kind: str) -> tuple[Arrays, Trajectory]:
    """Reads a recorded trajectory, after the weights that it began with."""
    with np.load(FOLDER / f"{kind}.npz") as file:
        parts = {name: file[name] for name in file.files}

    def below(prefix: str) -> Arrays:
        return {name.removeprefix(prefix): x for name, x in parts.items() if name.startswith(prefix)}

    return below("initial/"), Trajectory(below("metrics/"), {n: below(f"after {n}/") for n in (1, STEPS)})


def write(kind: str, weights: Arrays, trajectory: Trajectory) -> None:
    """Writes a recorded trajectory with the versions of what made it."""
    last = max(trajectory.looks)
    looks = {
        f"after {n}/{name}": x
        for n, look in trajectory.looks.items()
        for name, x in look.items()
        if n == last or name.startswith("gradient/") or "running" in name  # weights and moments follow from these
    }
    versions = {f"version/{name}": importlib.metadata.version(name) for name in ("torch", "numpy", "jax")}
    initial = {f"initial/{name}": x for name, x in weights.items()}
    metrics = {f"metrics/{name}": x for name, x in trajectory.metrics.items()}
    np.savez_compressed(FOLDER / f"{kind}.npz", **initial, **metrics, **looks, **versions)


def initial_weights(kind: str) -> Arrays:
    """The weights that the twin draws for itself from a fixed seed, in double precision."""
    import torch
    from imperative.injection import make_twin

    torch.manual_seed(0)
    twin = make_twin(CONFIGS[kind], image_shape=digits(kind).shape[1:]).double()
    return {name: x.numpy() for name, x in twin.state_dict().items() if not name.endswith("num_batches_tracked")}


def law(name: str, arguments: tuple[int, ...]) -> Arrays:
    """Draws a layer of ``torch.nn`` and sums up its weights and biases: see :func:`summary`."""
    import torch

    torch.manual_seed(0)
    layer = getattr(torch.nn, name)(*arguments)
    biases = [getattr(torch.nn, name)(*arguments).bias.detach().numpy() for _ in range(20)]
    return {"weight": summary(layer.weight.detach().numpy()), "bias": summary(np.concatenate(biases))}


def summary(values: np.ndarray) -> np.ndarray:
    """The smallest and the largest of many numbers, their mean, their deviation, and their kurtosis."""
    values = values.astype(np.float64).ravel()
    deviation = values.std()
    kurtosis = np.mean((values - values.mean()) ** 4) / deviation**4
    return np.array([values.min(), values.max(), values.mean(), deviation, kurtosis])


def main() -> None:
    """Makes all records."""
    from imperative.parity import imperative

    from jaxgan import data

    FOLDER.mkdir(exist_ok=True)
    if not (FOLDER / "digits.npz").exists():
        np.savez_compressed(FOLDER / "digits.npz", images=data.load("mnist").images[:DIGITS])
    for kind in CONFIGS:
        weights = initial_weights(kind)
        write(kind, weights, imperative(setting(kind, weights=weights)))
    laws = {f"{kind}/{part}": x for kind, layer in LAYERS.items() for part, x in law(*layer).items()}
    np.savez_compressed(FOLDER / "initial_laws.npz", **laws)
    for path in sorted(FOLDER.glob("*.npz")):
        print(f"{path.name}: {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
