"""GANs in the plane, where one sees all of it: samples, the discriminator, and where it pushes each sample.

Run:       python experiments/two_dimensions.py                    (--data swiss_roll, --help lists every flag)
Time:      a minute on two CPU cores, for six GANs of three seeds each
Expect:    a line for each GAN: the share of Gaussians that samples reach, and of samples near one. With Adam's usual
           momentum samples gather in a few Gaussians and move on, which is mode collapse; with 0.5 they reach
           all. A critic with clipped weights is almost linear and pushes all samples one way
Method:    two hidden layers in each network, which have biases. A point is an image of one pixel with two channels.
           Step, losses and penalties are those of the recipes. All seeds of a GAN train as one program, by vmap
Figures:   a row for each GAN and a column for each moment: red where the discriminator says real, blue where it says
           generated, arrows where the generator's loss pushes a sample; the last samples of each seed; an animation
Try:       --data swiss_roll; --steps 10000; other losses, penalties and momenta in GANS below
Read:      jaxgan/methods/gan.py, jaxgan/methods/losses.py, jaxgan/methods/penalties.py
Writes:    runs/two_dimensions/ (or --out) with DATA.png, DATA_seeds.png, DATA.webp
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import tyro
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Key
from PIL import Image

from jaxgan import figures
from jaxgan.errors import UserError, one_line_errors, parse, writing
from jaxgan.fields import check, number
from jaxgan.methods import Batch, losses, penalties
from jaxgan.methods.gan import GAN, init, step, trained_generator
from jaxgan.methods.method import samples_of
from jaxgan.methods.optimization import adam
from jaxgan.nn.noise import PRIORS

Points = Float[Array, "n 2"]

SHAPE, UNITS, LATENTS, BATCH = (1, 1, 2), (64, 64), 2, 128
MODES, RADIUS, DEVIATION = 8, 0.7, 0.03  # of the eight Gaussians
FRAMES, MOMENTS = 40, (2, 6, 12, 40)  # of the animation, and those of the figure
SHOWN, GRID, ARROWS = 256, 48, 12  # samples, and points along each side of the surface and of the field
REACH = 1.0  # half the side of the pictures


class Game(NamedTuple):
    """What the players minimize, and how."""

    options: dict[str, Any]  # of jaxgan.methods.gan.GAN
    momentum: float = 0.5  # Adam's decay of the gradient's mean


GANS = {
    "non-saturating,\nmomentum 0.9": Game({"loss": losses.non_saturating()}, momentum=0.9),
    "non-saturating": Game({"loss": losses.non_saturating()}),
    "minimax": Game({"loss": losses.minimax()}),
    "Wasserstein,\nclipped weights": Game(
        {
            "loss": losses.wasserstein(),
            "constrain": partial(optax.tree.clip, min_value=-0.1, max_value=0.1),
            "critic_steps": 3,
        }
    ),
    "Wasserstein,\ngradient penalty": Game(
        {"loss": losses.wasserstein(), "penalties": (penalties.gradient_penalty(1.0),), "critic_steps": 3}
    ),
    "relativistic,\nR1 and R2": Game(
        {"loss": losses.relativistic(), "penalties": (penalties.r1(0.1), penalties.r2(0.1))}
    ),
}


@dataclass(frozen=True)
class Options:
    """Trains small GANs on points in the plane, and draws them."""

    data: Literal["eight_gaussians", "swiss_roll"] = "eight_gaussians"  # where real points come from
    steps: int = number(3000, low=FRAMES, high=1_000_000)  # updates of the discriminator, a multiple of 40
    seeds: int = number(3, high=8)  # runs of each GAN
    out: Path = Path("runs/two_dimensions")  # folder for the figures


class Generator(nn.Module):
    """Maps latents to points."""

    @nn.compact
    def __call__(self, z: Float[Array, "n latent"], *, train: bool = False) -> Float[Array, "n 1 1 2"]:
        """Maps each latent vector to a point."""
        return _layers(z, features=2).reshape(-1, *SHAPE)


class Discriminator(nn.Module):
    """Maps points to the logit of being real."""

    @nn.compact
    def __call__(self, points: Float[Array, "n 1 1 2"], *, train: bool = False) -> Float[Array, " n"]:
        """Computes a logit for each point."""
        return _layers(points.reshape(-1, 2), features=1)[:, 0]


def _layers(h: Array, *, features: int) -> Array:
    for units in UNITS:
        h = nn.leaky_relu(nn.Dense(units)(h), 0.2)
    return nn.Dense(features)(h)


class Look(NamedTuple):
    """What a GAN is at a moment."""

    samples: Points
    surface: Float[Array, "rows columns"]  # the discriminator's logits
    field: Points  # minus the gradient of the generator's loss at the arrows


def eight_gaussians(key: Key[Array, ""], count: int) -> Points:
    """Points near eight centres on a circle."""
    which, near = jax.random.split(key)
    centres = _centres()[jax.random.randint(which, (count,), 0, MODES)]
    return centres + DEVIATION * jax.random.normal(near, (count, 2))


def swiss_roll(key: Key[Array, ""], count: int) -> Points:
    """Points near a spiral."""
    along, near = jax.random.split(key)
    t = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(along, (count,)))
    spiral = jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], axis=1) / (4.5 * jnp.pi) * 0.85
    return spiral + 0.02 * jax.random.normal(near, (count, 2))


DATA: dict[str, Callable[[Key[Array, ""], int], Points]] = {
    "eight_gaussians": eight_gaussians,
    "swiss_roll": swiss_roll,
}


def train(name: str, options: Options) -> Look:
    """Trains all seeds of a GAN as one program.

    Args:
      name: one of ``GANS``.
      options: the data, the steps and the seeds.

    Returns:
      The looks of each seed at each frame: arrays with these two axes in front.
    """
    game, real_points = GANS[name], DATA[options.data]
    optimizer, prior = adam(2e-3, game.momentum, 0.99), PRIORS["normal"]
    gan = GAN(Generator(), Discriminator(), SHAPE, LATENTS, optimizer, optimizer, prior, **game.options)

    def one_step(state: Any, key: Key[Array, ""]) -> tuple[Any, None]:
        real, noise = jax.random.split(key)
        points = real_points(real, BATCH).reshape(BATCH, *SHAPE)
        return step(gan, state, Batch(points, jnp.zeros(BATCH, jnp.int32), jnp.arange(BATCH)), noise)[0], None

    def frame(state: Any, keys: Key[Array, " steps"]) -> tuple[Any, Look]:
        state, _ = lax.scan(one_step, state, keys)
        return state, look(gan, state, real_points(jax.random.key(0), ARROWS**2))

    def run(seed: Array) -> Look:
        start, rest = jax.random.split(jax.random.key(seed))
        keys = jax.random.split(rest, (FRAMES, options.steps // FRAMES))
        return lax.scan(frame, init(gan, start), keys)[1]

    return jax.device_get(jax.jit(jax.vmap(run))(jnp.arange(options.seeds)))


def look(gan: GAN, state: Any, real: Points) -> Look:
    """Draws samples, and computes the discriminator and the gradient of the generator's loss on grids.

    Args:
      gan: networks and losses.
      state: its state.
      real: points to pair with those of the field, for losses of pairs.

    Returns:
      What the GAN is now.
    """
    logits = partial(gan.discriminator.apply, state.discriminator.variables)

    def loss(points: Points) -> Array:  # the sum over points, each of which then has its own gradient
        return len(points) * gan.loss.generator(logits(real.reshape(-1, *SHAPE)), logits(points.reshape(-1, *SHAPE)))

    surface = logits(jnp.asarray(_grid(GRID)).reshape(-1, *SHAPE)).reshape(GRID, GRID)
    samples = samples_of(partial(trained_generator, gan))(state, jax.random.key(1), SHOWN).reshape(-1, 2)
    return Look(samples, surface, -jax.grad(loss)(jnp.asarray(_grid(ARROWS))))


def coverage(samples: Float[np.ndarray, "seeds n 2"]) -> tuple[float, float]:
    """The share of Gaussians with a quarter of their samples or more, and that of samples near one of them."""
    distances = np.linalg.norm(samples[:, :, None] - np.asarray(_centres()), axis=-1)
    near = distances < 4 * DEVIATION
    return float((near.mean(axis=1) > 1 / (4 * MODES)).mean()), float(near.any(axis=2).mean())


def draw_moments(found: dict[str, Look], moments: Sequence[int], real: np.ndarray, *, title: str, seeds: bool) -> Any:
    """Draws GANs by row, and moments or the last moment of each seed by column.

    Args:
      found: the looks, by GAN.
      moments: frames counted from 1; with ``seeds``, seeds counted from 1.
      real: real points.
      title: the figure's title.
      seeds: whether a column is a seed.

    Returns:
      The figure.
    """
    with matplotlib.rc_context(figures.STYLE):
        side = figures.WIDTH / 4
        figure = matplotlib.figure.Figure(figsize=(side * len(moments), side * len(found) + 0.4))
        figure.suptitle(title)
        grid = figure.subplots(len(found), len(moments), squeeze=False)
        for row, (name, looks) in zip(grid, found.items(), strict=True):
            for axes, moment in zip(row, moments, strict=True):
                place = (moment - 1, -1) if seeds else (0, moment - 1)
                draw_look(axes, Look(*(array[place] for array in looks)), real)
            row[0].set_ylabel(name, fontsize=10)
        for axes, moment in zip(grid[0], moments, strict=True):
            axes.set_title(f"seed {moment - 1}" if seeds else f"{moment / FRAMES:.0%} of the steps", fontsize=10)
        return figure


def draw_look(axes: Any, look: Look, real: np.ndarray) -> None:
    """Draws the surface, the field, the real points in grey and the samples in black."""
    centred, extent = look.surface - np.median(look.surface), (-REACH, REACH, -REACH, REACH)
    reach = np.abs(centred).max()
    axes.imshow(centred, cmap="RdBu_r", vmin=-reach, vmax=reach, extent=extent, origin="lower", alpha=0.6)
    x, y = _grid(ARROWS).T
    longest = max(np.linalg.norm(look.field, axis=1).max(), 1e-12)
    axes.quiver(x, y, *(look.field / longest).T, color="#444444", scale=16, width=0.005, headwidth=4)
    axes.plot(*real.T, ".", color="#888888", markersize=2)
    axes.plot(*look.samples.T, ".", color="black", markersize=3)
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[], yticks=[])
    axes.grid(False)


def animate(found: dict[str, Look], real: np.ndarray, path: Path) -> Path:
    """Writes an animation with a panel for each GAN, of the first seed."""
    frames = []
    with matplotlib.rc_context(figures.STYLE):
        for moment in range(FRAMES):
            figure = matplotlib.figure.Figure(figsize=(len(found), 4.6), dpi=70)
            canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
            grid = figure.subplots(2, -(-len(found) // 2), squeeze=False).ravel()
            for axes in grid[len(found) :]:
                axes.set_visible(False)
            for axes, (name, looks) in zip(grid, found.items(), strict=False):
                draw_look(axes, Look(*(array[0, moment] for array in looks)), real)
                axes.set_title(name.replace("\n", " "), fontsize=8)
            canvas.draw()
            frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=120, loop=0, quality=60)
    return path


def _centres() -> Points:
    angles = 2 * jnp.pi * jnp.arange(MODES) / MODES
    return RADIUS * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)


def _grid(count: int) -> Float[np.ndarray, "points 2"]:
    """Points row by row from the lower left."""
    line = np.linspace(-REACH, REACH, count, dtype=np.float32)
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Trains and draws, as a command."""
    with one_line_errors("two_dimensions"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="two_dimensions"))
        check_options(options)
        found = {}
        for name in GANS:
            found[name] = train(name, options)
            line = name.replace("\n", " ")
            if options.data == "eight_gaussians":
                modes, near = coverage(found[name].samples[:, -1])
                line = f"{line:32}  modes reached {modes:5.0%}   samples near one {near:5.0%}"
            print(line, flush=True)
        real = np.asarray(DATA[options.data](jax.random.key(2), SHOWN))
        title = f"{options.data.replace('_', ' ').capitalize()}: samples in black, real points in grey"
        for name, moments, seeds in (("", MOMENTS, False), ("_seeds", range(1, options.seeds + 1), True)):
            figure = draw_moments(found, tuple(moments), real, title=title, seeds=seeds)
            print(figures.save(figure, options.out / f"{options.data}{name}.png"))
        print(animate(found, real, options.out / f"{options.data}.webp"))


def check_options(options: Options) -> None:
    """Raises UserError for steps or seeds that are not allowed, or a folder that cannot be written."""
    for f in dataclasses.fields(options):
        check(f"--{f.name}", getattr(options, f.name), type(getattr(options, f.name)), f.metadata)
    if options.steps % FRAMES:
        raise UserError(f"--steps: {options.steps} is not allowed, it must be a multiple of {FRAMES}")
    with writing("--out", options.out):
        options.out.mkdir(parents=True, exist_ok=True)


if __name__ == "__main__":
    main()
