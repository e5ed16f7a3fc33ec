"""The vanilla GAN in Flax NNX, as an object that trains itself; its functional twin is `experiments/vanilla_gan.py`.

Run:       python experiments/imperative/nnx_vanilla_gan.py        (--help lists every flag)
Read:      this file for the networks, nnx_gan.py for the losses and the step, nnx_training.py for the loop
Time:      5 min on two CPU cores, 13 s with --epochs 3
Expect:    strokes with specks of noise after three epochs, losses and digits like its functional twin at the end
Writes:    runs/imperative/nnx_vanilla_gan/ with metrics.jsonl, checkpoints/ and samples.npz
"""

import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

sys.path.insert(0, str(Path(__file__).parents[1]))

from imperative.nnx_gan import GAN, torch_default
from imperative.nnx_training import Options, main

SLOPE, DROPOUT = 0.01, 0.5


def linear(inputs: int, outputs: int, *, bias: bool = True, rngs: nnx.Rngs) -> nnx.Linear:
    """Makes an affine layer with PyTorch's initial distributions of kernel and bias."""
    bound = 1 / math.sqrt(inputs)

    def bias_init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return nnx.Linear(inputs, outputs, use_bias=bias, kernel_init=torch_default, bias_init=bias_init, rngs=rngs)


class Generator(nnx.Module):
    """Maps latents to images: a hidden layer with LeakyReLU, and an output layer with tanh."""

    def __init__(self, latent_size: int, hidden_units: int, image_shape: tuple[int, int, int], *, rngs: nnx.Rngs):
        self.hidden_0 = linear(latent_size, hidden_units, rngs=rngs)
        self.output = linear(hidden_units, math.prod(image_shape), rngs=rngs)
        self.image_shape = image_shape

    def __call__(self, z: Array) -> Array:
        """Maps each latent vector to an image."""
        h = nnx.leaky_relu(self.hidden_0(z), SLOPE)
        return jnp.tanh(self.output(h)).reshape(-1, *self.image_shape)


class Discriminator(nnx.Module):
    """Maps images to logits: one hidden layer without bias, LeakyReLU, dropout, and an affine layer."""

    def __init__(self, hidden_units: int, image_shape: tuple[int, int, int], *, rngs: nnx.Rngs):
        self.hidden_0 = linear(math.prod(image_shape), hidden_units, bias=False, rngs=rngs)
        self.dropout = nnx.Dropout(DROPOUT, rngs=rngs)
        self.output = linear(hidden_units, 1, rngs=rngs)

    def __call__(self, images: Array) -> Array:
        """Computes a logit for each image."""
        h = nnx.leaky_relu(self.hidden_0(images.reshape(len(images), -1)), SLOPE)
        return self.output(self.dropout(h))[:, 0]


class VanillaGAN(GAN):
    """The vanilla GAN of the chapter, with its optimizers."""

    def __init__(
        self,
        *,
        latent_size: int = 20,
        hidden_units: int = 100,
        image_shape: tuple[int, int, int] = (28, 28, 1),
        generator_learning_rate: float = 1e-3,
        discriminator_learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        seed: int = 0,
    ):
        rngs = nnx.Rngs(seed)
        super().__init__(
            Generator(latent_size, hidden_units, image_shape, rngs=rngs),
            Discriminator(hidden_units, image_shape, rngs=rngs),
            generator_learning_rate=generator_learning_rate,
            discriminator_learning_rate=discriminator_learning_rate,
            betas=betas,
            rngs=rngs,
        )
        self.latent_size = latent_size

    def draw_latents(self, count: int) -> Array:
        """Draws latents from U[-1, 1]."""
        return self.rngs.uniform((count, self.latent_size), minval=-1.0, maxval=1.0)


if __name__ == "__main__":
    main(VanillaGAN, Options(workdir=Path("runs/imperative/nnx_vanilla_gan"), epochs=100))
