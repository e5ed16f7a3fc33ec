"""Records short trajectories of the PyTorch twins, so that parity is checked where PyTorch is not installed too.

    python tests/parity/record.py

writes everything in `tests/parity/recorded`. For each method: its initial weights, the metrics of every step, the
gradients and statistics of the first step, and all arrays of the last one, in float64, with the versions that made
them. And a summary of how ``torch.nn`` draws initial weights. It gives the same numbers each time, on machines of one
kind to the last bit. The twins see the first digits of MNIST; `digits.npz` is made from the prepared data set if it is
missing.
"""

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from imperative.agreement import Arrays
from imperative.parity import Setting, Trajectory

FOLDER = Path(__file__).parent / "recorded"
CONFIGS = {
    "vanilla_gan": VanillaGAN(latent_size=4, hidden_units=8),
    "dcgan": DCGAN(latent_size=2, width=2),
    "wgan": WGAN(latent_size=2, width=2),
    "vae": VAE(latent_size=3, hidden_units=8, beta=1.5, ema_decay=0.0),
}
BATCH, STEPS, DIGITS = 4, 5, 200  # the fifth step of a Wasserstein GAN is the first of its generator
LAYERS = {  # with enough weights to come near the bounds of their distribution
    "linear": ("Linear", (300, 400)),
    "convolution": ("Conv2d", (40, 60, 4)),
    "transposed convolution": ("ConvTranspose2d", (40, 60, 4)),
}


def digits(kind: str) -> np.ndarray:
    """Reads a method's digits: whole for convolutions, every fourth row and column for dense layers."""
    images = np.load(FOLDER / "digits.npz")["images"]
    return images if kind in ("dcgan", "wgan") else images[:, ::4, ::4]


def batches(kind: str, *, size: int = BATCH) -> Callable[[int], np.ndarray]:
    """Makes a function from a step to its digits, in order and starting over at the end."""
    images = digits(kind)
    return lambda step: images[np.arange(step * size, (step + 1) * size) % len(images)]


def setting(kind: str, **changes) -> Setting:
    """What a recorded trajectory was trained on; our method needs the recorded weights too."""
    defaults = {"steps": STEPS, "snapshots": (1, STEPS)}
    return Setting(CONFIGS[kind], batches(kind), **(defaults | changes))


def read(kind: str) -> tuple[Arrays, Trajectory]:
    """Reads the initial weights of a recorded trajectory, and the trajectory."""
    with np.load(FOLDER / f"{kind}.npz") as file:
        parts = {name: file[name] for name in file.files}

    def below(prefix: str) -> Arrays:
        return {name.removeprefix(prefix): x for name, x in parts.items() if name.startswith(prefix)}

    return below("initial/"), Trajectory(below("metrics/"), {n: below(f"after {n}/") for n in (1, STEPS)})


def write(kind: str, weights: Arrays, trajectory: Trajectory) -> None:
    """Writes a trajectory with the versions that made it."""
    last = max(trajectory.snapshots)
    snapshots = {
        f"after {n}/{name}": x
        for n, snapshot in trajectory.snapshots.items()
        for name, x in snapshot.items()
        if n == last or name.startswith("gradient/") or "running" in name  # weights and moments follow from these
    }
    versions = {f"version/{name}": importlib.metadata.version(name) for name in ("torch", "numpy", "jax")}
    initial = {f"initial/{name}": x for name, x in weights.items()}
    metrics = {f"metrics/{name}": x for name, x in trajectory.metrics.items()}
    np.savez_compressed(FOLDER / f"{kind}.npz", **initial, **metrics, **snapshots, **versions)


def initial_weights(kind: str) -> Arrays:
    """The weights that the twin draws from a fixed seed, in double precision."""
    import torch
    from imperative.twins import twin_of

    torch.manual_seed(0)
    twin = twin_of(CONFIGS[kind], image_shape=digits(kind).shape[1:]).double()
    return {name: x.numpy() for name, x in twin.state_dict().items() if not name.endswith("num_batches_tracked")}


def initial_distribution(name: str, arguments: tuple[int, ...]) -> Arrays:
    """Draws a layer of ``torch.nn`` and summarizes its weights and biases; see :func:`summary`."""
    import torch

    torch.manual_seed(0)
    layer = getattr(torch.nn, name)(*arguments)
    biases = [getattr(torch.nn, name)(*arguments).bias.detach().numpy() for _ in range(20)]
    return {"weight": summary(layer.weight.detach().numpy()), "bias": summary(np.concatenate(biases))}


def summary(values: np.ndarray) -> np.ndarray:
    """Minimum, maximum, mean, standard deviation and kurtosis."""
    values = values.astype(np.float64).ravel()
    deviation = values.std()
    kurtosis = np.mean((values - values.mean()) ** 4) / deviation**4
    return np.array([values.min(), values.max(), values.mean(), deviation, kurtosis])


def main() -> None:
    """Writes all records."""
    from imperative.parity import imperative

    from jaxgan import data

    FOLDER.mkdir(exist_ok=True)
    if not (FOLDER / "digits.npz").exists():
        np.savez_compressed(FOLDER / "digits.npz", images=data.load("mnist").images[:DIGITS])
    for kind in CONFIGS:
        weights = initial_weights(kind)
        write(kind, weights, imperative(setting(kind, weights=weights)))
    drawn = {f"{kind}/{part}": x for kind, layer in LAYERS.items() for part, x in initial_distribution(*layer).items()}
    np.savez_compressed(FOLDER / "initial_laws.npz", **drawn)
    for path in sorted(FOLDER.glob("*.npz")):
        print(f"{path.name}: {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
