"""GANs in the plane, where everything is visible: samples, the discriminator, and where it pushes each sample.

Run:       python experiments/two_dimensions.py                    (--data swiss_roll, --help lists every flag)
Time:      a minute on two CPU cores, for six GANs with three seeds each
Expect:    a line per GAN: the share of Gaussians that samples reach, and the share of samples near a Gaussian. With
           Adam's default momentum, samples gather in a few Gaussians and move on, which is mode collapse; with 0.5
           they reach all. A critic with clipped weights is almost linear and pushes all samples in one direction
Method:    two hidden layers with biases in each network. A point is an image of one pixel with two channels. Step,
           losses and penalties are the same as in the recipes. All seeds of a GAN train as one program, by vmap
Figures:   a row per GAN and a column per time: red where the discriminator predicts real, blue where it predicts
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
from jaxgan.methods.optimization import adam
from jaxgan.methods.sampling import samples_of
from jaxgan.nn.noise import PRIORS

Points = Float[Array, "n 2"]

SHAPE, UNITS, LATENTS, BATCH = (1, 1, 2), (64, 64), 2, 128
MODES, RADIUS, DEVIATION = 8, 0.7, 0.03  # number of Gaussians, radius of their circle, standard deviation
FRAMES, MOMENTS = 40, (2, 6, 12, 40)  # frames of the animation, and the frames in the figure
SHOWN, GRID, ARROWS = 256, 48, 12  # samples, and points per side of the surface and of the field
REACH = 1.0  # half the side of the pictures


clip = partial(optax.tree.clip, min_value=-0.1, max_value=0.1)
slope = penalties.gradient_penalty(1.0)

# Fields of GAN, and Adam's decay of the gradient's mean, 0.5 unless given.
GANS: dict[str, dict[str, Any]] = {
    "non-saturating,\nmomentum 0.9": {"loss": losses.non_saturating(), "momentum": 0.9},
    "non-saturating": {"loss": losses.non_saturating()},
    "minimax": {"loss": losses.minimax()},
    "Wasserstein,\nclipped weights": {"loss": losses.wasserstein(), "constrain": clip, "critic_steps": 3},
    "Wasserstein,\ngradient penalty": {
        "loss": losses.wasserstein(),
        "penalties": (slope,),
        "critic_steps": 3,
    },
    "relativistic,\nR1 and R2": {"loss": losses.relativistic(), "penalties": (penalties.r1(0.1), penalties.r2(0.1))},
}


@dataclass(frozen=True)
class Options:
    """Trains small GANs on points in the plane, and draws them."""

    data: Literal["eight_gaussians", "swiss_roll"] = "eight_gaussians"  # distribution of the real points
    steps: int = number(3000, low=FRAMES, high=1_000_000)  # updates of the discriminator, a multiple of 40
    seeds: int = number(3, high=8)  # number of seeds per GAN
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
    """The samples and the discriminator of a GAN at one time."""

    samples: Points
    surface: Float[Array, "rows columns"]  # the discriminator's logits
    field: Points  # negative gradient of the generator's loss at the arrows


def eight_gaussians(key: Key[Array, ""], count: int) -> Points:
    """Draws points near eight centres on a circle."""
    mode_key, noise_key = jax.random.split(key)
    centres = _centres()[jax.random.randint(mode_key, (count,), 0, MODES)]
    return centres + DEVIATION * jax.random.normal(noise_key, (count, 2))


def swiss_roll(key: Key[Array, ""], count: int) -> Points:
    """Draws points near a spiral."""
    position_key, noise_key = jax.random.split(key)
    t = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(position_key, (count,)))
    spiral = jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], axis=1) / (4.5 * jnp.pi) * 0.85
    return spiral + 0.02 * jax.random.normal(noise_key, (count, 2))


DATA: dict[str, Callable[[Key[Array, ""], int], Points]] = {
    "eight_gaussians": eight_gaussians,
    "swiss_roll": swiss_roll,
}


def train(name: str, options: Options) -> Look:
    """Trains all seeds of a GAN as one program.

    Args:
      name: one of ``GANS``.
      options: data, steps and seeds.

    Returns:
      The `Look` of each seed at each frame: arrays with leading axes [seeds, frames].
    """
    fields, real_points, prior = dict(GANS[name]), DATA[options.data], PRIORS["normal"]
    optimizer = adam(2e-3, fields.pop("momentum", 0.5), 0.99)
    gan = GAN(Generator(), Discriminator(), SHAPE, LATENTS, optimizer, optimizer, prior, **fields)

    def one_step(state: Any, key: Key[Array, ""]) -> tuple[Any, None]:
        data_key, step_key = jax.random.split(key)
        points = real_points(data_key, BATCH).reshape(BATCH, *SHAPE)
        return step(gan, state, Batch(points, jnp.zeros(BATCH, jnp.int32), jnp.arange(BATCH)), step_key)[0], None

    def frame(state: Any, keys: Key[Array, " steps"]) -> tuple[Any, Look]:
        state, _ = lax.scan(one_step, state, keys)
        return state, look(gan, state, real_points(jax.random.key(0), ARROWS**2))

    def run(seed: Array) -> Look:
        init_key, train_key = jax.random.split(jax.random.key(seed))
        keys = jax.random.split(train_key, (FRAMES, options.steps // FRAMES))
        return lax.scan(frame, init(gan, init_key), keys)[1]

    return jax.device_get(jax.jit(jax.vmap(run))(jnp.arange(options.seeds)))


def look(gan: GAN, state: Any, real: Points) -> Look:
    """Draws samples, and evaluates the discriminator and the gradient of the generator's loss on grids.

    Args:
      gan: networks and losses.
      state: state of the GAN.
      real: real points to pair with the points of the field, for losses on pairs.

    Returns:
      The samples, the surface and the field.
    """
    logits = partial(gan.discriminator.apply, state.discriminator.variables)

    def loss(points: Points) -> Array:  # a sum over points, so each point has its own gradient
        return len(points) * gan.loss.generator(logits(real.reshape(-1, *SHAPE)), logits(points.reshape(-1, *SHAPE)))

    surface = logits(jnp.asarray(_grid(GRID)).reshape(-1, *SHAPE)).reshape(GRID, GRID)
    samples = samples_of(partial(trained_generator, gan))(state, jax.random.key(1), SHOWN).reshape(-1, 2)
    return Look(samples, surface, -jax.grad(loss)(jnp.asarray(_grid(ARROWS))))


def coverage(samples: Float[np.ndarray, "seeds n 2"]) -> tuple[float, float]:
    """Returns the share of Gaussians with at least a quarter of their expected samples, and of samples near any."""
    distances = np.linalg.norm(samples[:, :, None] - np.asarray(_centres()), axis=-1)
    near = distances < 4 * DEVIATION
    return float((near.mean(axis=1) > 1 / (4 * MODES)).mean()), float(near.any(axis=2).mean())


def draw_moments(looks: dict[str, Look], moments: Sequence[int], real: np.ndarray, *, title: str, seeds: bool) -> Any:
    """Draws a row per GAN, and a column per time or, at the last time, per seed.

    Args:
      looks: result of `train`, by GAN.
      moments: frames, counted from 1; with ``seeds``, seeds counted from 1.
      real: real points.
      title: title of the figure.
      seeds: whether columns are seeds.

    Returns:
      The figure.
    """
    with matplotlib.rc_context(figures.STYLE):
        side = figures.WIDTH / 4
        figure = matplotlib.figure.Figure(figsize=(side * len(moments), side * len(looks) + 0.4))
        figure.suptitle(title)
        grid = figure.subplots(len(looks), len(moments), squeeze=False)
        for row, (name, arrays) in zip(grid, looks.items(), strict=True):
            for axes, moment in zip(row, moments, strict=True):
                place = (moment - 1, -1) if seeds else (0, moment - 1)
                draw_look(axes, Look(*(array[place] for array in arrays)), real)
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


def animate(looks: dict[str, Look], real: np.ndarray, path: Path) -> Path:
    """Writes an animation of the first seed, with a panel per GAN."""
    frames = []
    with matplotlib.rc_context(figures.STYLE):
        for moment in range(FRAMES):
            figure = matplotlib.figure.Figure(figsize=(len(looks), 4.6), dpi=70)
            canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
            grid = figure.subplots(2, -(-len(looks) // 2), squeeze=False).ravel()
            for axes in grid[len(looks) :]:
                axes.set_visible(False)
            for axes, (name, arrays) in zip(grid, looks.items(), strict=False):
                draw_look(axes, Look(*(array[0, moment] for array in arrays)), real)
                axes.set_title(name.replace("\n", " "), fontsize=8)
            canvas.draw()
            frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=120, loop=0, quality=60)
    return path


def _centres() -> Points:
    angles = 2 * jnp.pi * jnp.arange(MODES) / MODES
    return RADIUS * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)


def _grid(count: int) -> Float[np.ndarray, "points 2"]:
    """Returns the points of a square grid, row by row from the lower left."""
    line = np.linspace(-REACH, REACH, count, dtype=np.float32)
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the script as a command."""
    with one_line_errors("two_dimensions"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="two_dimensions"))
        check_options(options)
        looks = {}
        for name in GANS:
            looks[name] = train(name, options)
            line = name.replace("\n", " ")
            if options.data == "eight_gaussians":
                modes, near = coverage(looks[name].samples[:, -1])
                line = f"{line:32}  modes reached {modes:5.0%}   samples near one {near:5.0%}"
            print(line, flush=True)
        real = np.asarray(DATA[options.data](jax.random.key(2), SHOWN))
        title = f"{options.data.replace('_', ' ').capitalize()}: samples in black, real points in grey"
        for name, moments, seeds in (("", MOMENTS, False), ("_seeds", range(1, options.seeds + 1), True)):
            figure = draw_moments(looks, tuple(moments), real, title=title, seeds=seeds)
            print(figures.save(figure, options.out / f"{options.data}{name}.png"))
        print(animate(looks, real, options.out / f"{options.data}.webp"))


def check_options(options: Options) -> None:
    """Raises UserError for invalid steps or seeds, or a folder that is not writable."""
    for f in dataclasses.fields(options):
        check(f"--{f.name}", getattr(options, f.name), type(getattr(options, f.name)), f.metadata)
    if options.steps % FRAMES:
        raise UserError(f"--steps: {options.steps} is not allowed, it must be a multiple of {FRAMES}")
    with writing("--out", options.out):
        options.out.mkdir(parents=True, exist_ok=True)


if __name__ == "__main__":
    main()
