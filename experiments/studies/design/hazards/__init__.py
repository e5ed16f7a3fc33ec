"""Eight mistakes with hidden state, one file each, with wrong lines beside right lines in both designs.

    python experiments/studies/design/hazards/forgotten_detach.py

Each file has a program per design, and two versions of a function that it calls: ``..._right`` and ``..._wrong``.
Everything else is equal: weights, images and random numbers. This file has the shared code: toy images, both designs of
the vanilla GAN, and functions that run a pair and print the outcome.
"""

import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from imperative.gan import GAN
from imperative.requirements import torch
from imperative.vanilla_gan import vanilla_gan
from studies.markdown import number

from jaxgan.methods import Batch, GANState, Method, build
from jaxgan.methods.vanilla_gan import VanillaGAN

IMPERATIVE, FUNCTIONAL = "imperative PyTorch", "functional JAX"
STEPS, BATCH_SIZE, SIDE, LATENT_SIZE, UNITS = 100, 64, 8, 8, 64
LOOK_EVERY = 10  # steps between two inspections of a network

Observed = Mapping[str, Any]  # by name: a number, a number per step, or images [n, height, width, channels] in [-1, 1]


class Pair(NamedTuple):
    """A program, with a right and a wrong version of one function.

    Attributes:
      design: `IMPERATIVE` or `FUNCTIONAL`.
      program: runs with either version and returns observations to compare; the figure shows the first one.
      right: the correct function.
      wrong: the function with the mistake.
    """

    design: str
    program: Callable[[Callable], Observed]
    right: Callable
    wrong: Callable


class Outcome(NamedTuple):
    """The outcome of a pair.

    Attributes:
      design: design of the pair.
      happens: "silent", "no effect" if both runs are equal bit for bit, or "raises" with the type of the error.
      right: observations of the right program.
      wrong: observations of the wrong program; empty if it raised an error.
      lines: the mistake as a diff.
    """

    design: str
    happens: str
    right: dict[str, np.ndarray]
    wrong: dict[str, np.ndarray]
    lines: str


def observe(pair: Pair) -> Outcome:
    """Runs both versions and compares them; restores PyTorch's random state."""
    torch.set_num_threads(1)  # small networks do not benefit from more threads
    with torch.random.fork_rng(devices=[]):
        right = {name: np.asarray(value) for name, value in pair.program(pair.right).items()}
        try:
            wrong = {name: np.asarray(value) for name, value in pair.program(pair.wrong).items()}
        except Exception as error:  # the type of the error is the result
            wrong, happens = {}, f"raises {type(error).__name__}"
        else:
            same = all(np.array_equal(right[name], wrong[name]) for name in right)
            happens = "no effect" if same else "silent"
    return Outcome(pair.design, happens, right, wrong, _diff(pair))


def _diff(pair: Pair) -> str:
    right, wrong = (_body(piece) for piece in (pair.right, pair.wrong))
    lines = list(difflib.unified_diff(right, wrong, n=2, lineterm=""))[3:]
    return "\n".join("..." if line.startswith("@@") else line.rstrip() for line in lines)


def _body(piece: Callable) -> list[str]:
    """Returns the lines of a function below its one-line docstring."""
    lines = textwrap.dedent(inspect.getsource(piece)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith('"""')) + 1
    return textwrap.dedent("\n".join(lines[start:])).splitlines()


def effects(outcome: Outcome) -> list[tuple[str, str]]:
    """Describes each effect: the means of both runs and their difference, or the difference of images."""
    return [(name, _effect(outcome.right[name], wrong)) for name, wrong in outcome.wrong.items()]


def _effect(right: np.ndarray, wrong: np.ndarray) -> str:
    if np.array_equal(right, wrong):
        return "the same"
    if right.ndim == 4:
        return f"{number(np.abs(right - wrong).mean() * 127.5)} gray levels apart"
    means = f"{number(right.mean())} → {number(wrong.mean())}"
    return f"{means}, {number(np.abs(right - wrong).mean())} apart" if right.ndim else means


def show(module: str, pairs: tuple[Pair, ...]) -> None:
    """Runs the pairs of a hazard, and prints the docstring of its file, the outcomes and the effects."""
    print(module.strip())
    for pair in pairs:
        outcome = observe(pair)
        print(f"\n{outcome.design}: {outcome.happens}")
        print(textwrap.indent(outcome.lines, "    "))
        for name, effect in effects(outcome):
            print(f"  {name}: {effect}")


def batches(steps: int = STEPS) -> Iterator[np.ndarray]:
    """Yields the batch of each step: bright spots at random positions, [64, 8, 8, 1] in [-1, 1]."""
    rng, grid = np.random.default_rng(0), np.arange(SIDE)
    for _ in range(steps):
        y, x = rng.uniform(2, SIDE - 3, (2, BATCH_SIZE, 1, 1))
        squares = (grid[:, None] - y) ** 2 + (grid - x) ** 2
        yield (2 * np.exp(-squares / 3) - 1).astype(np.float32)[..., None]


def to_torch(images: np.ndarray) -> torch.Tensor:
    """Converts images to a tensor with channels first."""
    return torch.from_numpy(images).movedim(-1, 1)


def twin() -> GAN:
    """Builds the vanilla GAN in PyTorch, with weights and all later random numbers from seed 0."""
    torch.manual_seed(0)
    return vanilla_gan(latent_size=LATENT_SIZE, hidden_units=UNITS, image_shape=(1, SIDE, SIDE))


def drawn(gan: GAN) -> np.ndarray:
    """Draws samples of the PyTorch GAN, from latents independent of earlier draws."""
    torch.manual_seed(1)
    return gan.sample(64).movedim(1, -1).numpy()


@cache
def method() -> Method:
    """Builds and compiles the vanilla GAN as pure functions."""
    built = build(VanillaGAN(latent_size=LATENT_SIZE, hidden_units=UNITS), image_shape=(SIDE, SIDE, 1))
    compiled = {"init": jax.jit(built.init), "step": jax.jit(built.step)}
    return built._replace(**compiled, sample=jax.jit(built.sample, static_argnums=2))


def start() -> GANState:
    """Returns the initial state of the functional GAN."""
    return method().init(jax.random.key(0))


def batch(images: np.ndarray) -> Batch:
    """Makes a batch for the functional step; labels are ignored."""
    index = jnp.arange(len(images))
    return Batch(jnp.asarray(images), index, index)


def samples(state: GANState) -> jax.Array:
    """Draws samples of the functional GAN, from latents independent of earlier draws."""
    return method().sample(state, jax.random.key(1), 64)
