"""The DCGAN in Flax NNX, as an object that trains itself; its functional twin is `experiments/dcgan.py`.

Run:       python experiments/imperative/nnx_dcgan.py        (--help lists every flag)
Read:      this file for the networks, nnx_gan.py for the losses and the step, nnx_training.py for the loop
Time:      45 min on two CPU cores, 3 min with --epochs 1. XLA's CPU backend is slow at the gradients that automatic
           differentiation derives for these layers
Expect:    strokes after one epoch, recognizable digits after four, like its functional twin
Writes:    runs/imperative/nnx_dcgan/ with metrics.jsonl, checkpoints/ and samples.npz
"""

import sys
from functools import partial
from pathlib import Path

import jax.numpy as jnp
from flax import nnx
from jax import Array

sys.path.insert(0, str(Path(__file__).parents[1]))

from imperative.nnx_gan import GAN, torch_default
from imperative.nnx_training import Options, main

leaky_relu = partial(nnx.leaky_relu, negative_slope=0.2)


def down(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, *, rngs: nnx.Rngs) -> nnx.Conv:
    """Makes a strided convolution with PyTorch's geometry and initial distribution."""
    around = [(padding, padding)] * 2
    return nnx.Conv(
        inputs, outputs, (kernel,) * 2, stride, padding=around, use_bias=False, kernel_init=torch_default, rngs=rngs
    )


def up(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, *, rngs: nnx.Rngs
) -> nnx.ConvTranspose:
    """Makes a transposed convolution with PyTorch's geometry: output size (n - 1) stride - 2 padding + kernel.

    Flax pads the dilated input, PyTorch crops the output; "SAME" would turn 4 rows into 8 instead of 7. With
    ``transpose_kernel`` the kernel has the layout of the convolution that is transposed.
    """
    around = [(kernel - 1 - padding,) * 2] * 2
    return nnx.ConvTranspose(
        inputs,
        outputs,
        (kernel,) * 2,
        (stride,) * 2,
        padding=around,
        use_bias=False,
        transpose_kernel=True,
        kernel_init=torch_default,
        rngs=rngs,
    )


class BatchNorm(nnx.BatchNorm):
    """Batch normalization with PyTorch's momentum and unbiased running variance, and a frozen mode.

    Attributes:
      frozen: whether training mode leaves the running statistics unchanged.
    """

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        super().__init__(features, momentum=0.9, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.frozen = False

    def __call__(self, x: Array) -> Array:
        """Normalizes each channel, by batch statistics in training mode and by running statistics otherwise."""
        mean, var = self.mean[...], self.var[...]
        y = super().__call__(x)
        if self.frozen:  # undo the update that nnx.BatchNorm always makes
            self.mean[...], self.var[...] = mean, var
        elif not self.use_running_average:
            recorded = self.var[...] - self.momentum * var  # the batch's term, with the biased variance
            self.var[...] += recorded / (x.size // x.shape[-1] - 1)
        return y

    def set_view(self, frozen: bool | None = None, use_running_average: bool | None = None) -> None:
        """Sets the modes of a view; ``nnx.view`` calls this."""
        super().set_view(use_running_average)
        self.frozen = self.frozen if frozen is None else frozen


class Generator(nnx.Module):
    """Maps latents to images of 28 x 28: transposed convolutions, batch normalization, LeakyReLU, and tanh."""

    def __init__(self, latent_size: int, width: int, channels: int, *, rngs: nnx.Rngs):
        self.conv_3 = up(latent_size, 4 * width, kernel=4, rngs=rngs)
        self.norm_3 = BatchNorm(4 * width, rngs=rngs)
        self.conv_2 = up(4 * width, 2 * width, kernel=3, stride=2, padding=1, rngs=rngs)
        self.norm_2 = BatchNorm(2 * width, rngs=rngs)
        self.conv_1 = up(2 * width, width, kernel=4, stride=2, padding=1, rngs=rngs)
        self.norm_1 = BatchNorm(width, rngs=rngs)
        self.output = up(width, channels, kernel=4, stride=2, padding=1, rngs=rngs)

    def __call__(self, z: Array) -> Array:
        """Maps each latent vector to an image."""
        h = leaky_relu(self.norm_3(self.conv_3(z[:, None, None, :])))
        h = leaky_relu(self.norm_2(self.conv_2(h)))
        h = leaky_relu(self.norm_1(self.conv_1(h)))
        return jnp.tanh(self.output(h))


class Discriminator(nnx.Module):
    """Maps images of 28 x 28 to logits: strided convolutions, batch normalization, LeakyReLU."""

    def __init__(self, width: int, channels: int, *, rngs: nnx.Rngs):
        self.conv_0 = down(channels, width, kernel=4, stride=2, padding=1, rngs=rngs)
        self.conv_1 = down(width, 2 * width, kernel=4, stride=2, padding=1, rngs=rngs)
        self.norm_1 = BatchNorm(2 * width, rngs=rngs)
        self.conv_2 = down(2 * width, 4 * width, kernel=3, stride=2, padding=1, rngs=rngs)
        self.norm_2 = BatchNorm(4 * width, rngs=rngs)
        self.output = down(4 * width, 1, kernel=4, rngs=rngs)

    def __call__(self, images: Array) -> Array:
        """Computes a logit for each image."""
        h = leaky_relu(self.conv_0(images))
        h = leaky_relu(self.norm_1(self.conv_1(h)))
        h = leaky_relu(self.norm_2(self.conv_2(h)))
        return self.output(h).reshape(-1)


class DCGAN(GAN):
    """The DCGAN of the chapter, with its optimizers."""

    def __init__(
        self,
        *,
        latent_size: int = 100,
        width: int = 32,
        channels: int = 1,
        generator_learning_rate: float = 3e-4,
        discriminator_learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        seed: int = 0,
    ):
        rngs = nnx.Rngs(seed)
        super().__init__(
            Generator(latent_size, width, channels, rngs=rngs),
            Discriminator(width, channels, rngs=rngs),
            generator_learning_rate=generator_learning_rate,
            discriminator_learning_rate=discriminator_learning_rate,
            betas=betas,
            rngs=rngs,
        )
        self.latent_size = latent_size

    def draw_latents(self, count: int) -> Array:
        """Draws latents from N(0, I)."""
        return self.rngs.normal((count, self.latent_size))


if __name__ == "__main__":
    main(DCGAN, Options(workdir=Path("runs/imperative/nnx_dcgan"), epochs=15))
