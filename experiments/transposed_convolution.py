"""Transposed convolution, computed in three ways that give the same numbers, and drawn.

Run:       python experiments/transposed_convolution.py
Time:      13 s on two CPU cores, without training
Expect:    one line per geometry: the output size (n - 1) s - 2 p + k + output padding, and the largest difference
           between the three ways. A convolution and its transpose restore the shape of the input, not its values
Read:      jaxgan/nn/bilinear.py, and by_zero_insertion and by_matrix below
Writes:    runs/transposed_convolution/ with shape_comes_back.png, zero_insertion.png and checkerboard.png
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float

from jaxgan import figures
from jaxgan.errors import UserError, one_line_errors, parse
from jaxgan.nn.bilinear import Geometry, convolution, transposed_convolution

# The layers of the chapter's generator, one with output padding, and one with a kernel that is not square.
GEOMETRIES = {
    "1 -> 4": (Geometry((4, 4)), (1, 1), (0, 0)),
    "4 -> 7": (Geometry((3, 3), (2, 2), (1, 1)), (4, 4), (0, 0)),
    "7 -> 14": (Geometry((4, 4), (2, 2), (1, 1)), (7, 7), (0, 0)),
    "4 -> 8": (Geometry((3, 3), (2, 2), (1, 1)), (4, 4), (1, 1)),
    "4 x 3 -> 12 x 4": (Geometry((3, 2), (3, 1), (0, 0)), (4, 3), (0, 0)),
}
CHANNELS = 1024  # random kernels; a checkerboard sums their outputs, so their individual patterns average out


@dataclass(frozen=True)
class Options:
    """Computes transposed convolutions in three ways, and draws them."""

    out: Path = Path("runs/transposed_convolution")  # folder for the figures
    seed: int = 0  # seed of the random maps and kernels


def by_zero_insertion(y: Array, w: Array, geometry: Geometry, output_padding: tuple[int, int]) -> tuple[Array, Array]:
    """Transposes as in the chapter: s - 1 zeros between pixels, padding k - 1 - p, a convolution with stride 1.

    Args:
      y: images [1, h, w, outputs].
      w: kernel of the convolution to transpose, [k, k, inputs, outputs].
      geometry: kernel size, strides and padding of the convolution.
      output_padding: rows and columns added at the bottom and right edge.

    Returns:
      The images with zeros inserted and padded, and the result [1, H, W, inputs].
    """
    _, height, width, channels = y.shape
    (kh, kw), (sh, sw), (ph, pw) = geometry
    spread = jnp.zeros((1, (height - 1) * sh + 1, (width - 1) * sw + 1, channels)).at[:, ::sh, ::sw].set(y)
    edges = [(k - 1 - p, k - 1 - p + extra) for k, p, extra in zip((kh, kw), (ph, pw), output_padding, strict=True)]
    padded = jnp.pad(spread, [(0, 0), *edges, (0, 0)])
    return padded, convolution(padded, w[::-1, ::-1].swapaxes(2, 3))


def by_matrix(y: Array, w: Array, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Writes the convolution as a matrix, one column per pixel, and multiplies by its transpose: the adjoint."""
    shape = (1, *size, w.shape[2])
    basis = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    columns = jax.vmap(lambda x: convolution(x, w, strides=geometry.strides, padding=geometry.padding).ravel())(basis)
    return (columns @ y.ravel()).reshape(shape)


def compare(seed: int) -> dict[str, tuple[tuple[int, int], float]]:
    """Computes every geometry in all three ways.

    Args:
      seed: seed of the random maps and kernels.

    Returns:
      For each geometry, the output size and the largest difference between two ways.
    """
    found = {}
    for (name, (geometry, size, output_padding)), key in zip(
        GEOMETRIES.items(), jax.random.split(jax.random.key(seed), len(GEOMETRIES)), strict=True
    ):
        y = jax.random.uniform(key, (1, *size, 2), minval=-1)
        w = jax.random.uniform(jax.random.fold_in(key, 1), (*geometry.kernel_size, 3, 2), minval=-1)
        up = geometry.up(size, output_padding)
        options = {"strides": geometry.strides, "padding": geometry.padding, "output_padding": output_padding}
        ways = jnp.stack(
            [
                transposed_convolution(y, w, **options),
                by_zero_insertion(y, w, geometry, output_padding)[1],
                by_matrix(y, w, geometry, up),
            ]
        )
        found[name] = up, float(jnp.max(jnp.ptp(ways, axis=0)))
    return found


def integers(key: Array, shape: Sequence[int]) -> Float[Array, "..."]:
    """Draws integers from 1 to 9."""
    return jax.random.randint(key, shape, 1, 10).astype(jnp.float32)


def signs(key: Array, shape: Sequence[int]) -> Float[Array, "..."]:
    """Draws ones and minus ones."""
    return jnp.where(jax.random.bernoulli(key, 0.5, shape), 1.0, -1.0)


def draw(options: Options) -> list[Path]:
    """Draws the two explanations of the chapter and the checkerboards.

    Returns:
      The paths of the figures.
    """
    map_key, kernel_key = jax.random.split(jax.random.key(options.seed))

    geometry, image = Geometry((3, 3), (2, 2), (1, 1)), integers(map_key, (1, 5, 5, 1))
    w = signs(kernel_key, (3, 3, 1, 1))
    how = {"strides": geometry.strides, "padding": geometry.padding}
    down = convolution(image, w, **how)
    back = transposed_convolution(down, w, **how)
    steps = {"input, 5 x 5": image, "convolved, 3 x 3": down, "transposed, 5 x 5:\nthe shape is back": back}
    title = "Kernel 3, stride 2, padding 1: to a smaller map and back"
    pictures = {"shape_comes_back": figures.number_maps(_maps(steps), title=title)}

    geometry, y, w = Geometry((2, 2), (2, 2)), integers(map_key, (1, 4, 4, 1)), jnp.ones((2, 2, 1, 1))
    padded, up = by_zero_insertion(y, w, geometry, (0, 0))
    again = convolution(up, w, strides=geometry.strides) / 4  # the kernel's entries sum to 4
    steps = {"input, 4 x 4": y, "zeros inserted, 9 x 9": padded}
    steps |= {"stride-1 convolution,\n8 x 8": up, "stride-2 convolution,\n4 x 4, divided by 4": again}
    pictures["zero_insertion"] = figures.number_maps(_maps(steps), title="Transposed convolution, kernel 2, stride 2")

    boards = {}
    for k in (2, 3, 4, 5):
        kernels = jnp.abs(jax.random.normal(kernel_key, (k, k, 1, CHANNELS)))
        board = transposed_convolution(jnp.ones((1, 8, 8, CHANNELS)), kernels, strides=(2, 2))[0, :, :, 0]
        board = board[k : k + 10, k : k + 10]  # away from the edges
        boards[f"kernel {k}" + ", divisible" * (k % 2 == 0)] = np.asarray(board / board.max())
    title = "A constant map through random kernels, stride 2: checkerboards unless 2 divides the kernel size"
    pictures["checkerboard"] = figures.heat_maps(boards, title=title)
    return [figures.save(picture, options.out / f"{name}.png") for name, picture in pictures.items()]


def _maps(steps: dict[str, Array]) -> dict[str, Float[np.ndarray, "height width"]]:
    return {name: np.asarray(step)[0, :, :, 0] for name, step in steps.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the comparison as a command and draws the figures."""
    with one_line_errors("transposed_convolution"):
        options = parse(lambda: tyro.cli(Options, args=argv, prog="transposed_convolution"))
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out: {str(options.out)!r} cannot be written ({error.strerror})") from error
        for name, (size, difference) in compare(options.seed).items():
            print(f"{name:16}  {size[0]:2} x {size[1]:2}   largest difference {difference:.1e}")
        print(*draw(options), sep="\n")


if __name__ == "__main__":
    main()
