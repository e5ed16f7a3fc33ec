"""The part of a run that draws images: a function of latents, and of labels if they were learned, and nothing else."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int

from jaxgan.config import VAE, Autoencoder, Method
from jaxgan.data.catalog import find
from jaxgan.methods import AutoencoderState, networks
from jaxgan.methods.reconstruction import to_images
from jaxgan.runtime.finished import Finished

Latents = Float[Array, "batch latent"]
Labels = Int[Array, " batch"]
Images = Float[Array, "batch height width channels"]


class Generator(NamedTuple):
    """A trained map from latents, and labels where it is conditional, to images, with nothing left to choose."""

    network: str  # its name in the run
    compute_dtype: str  # what its products are computed in
    latent_size: int
    latent_law: str  # what latents are drawn from: "uniform", "normal" or "mixture"
    truncation: float  # what the run multiplies them by to draw samples, but for the numbers that say which cluster
    image_shape: tuple[int, int, int]
    classes: int  # how many a label can name; 0 if there are no labels to give
    images: Callable[[Latents], Images] | Callable[[Latents, Labels], Images]  # in [-1, 1], in evaluation mode


def parameters_taken(run: Finished, *, averaged: bool) -> str:
    """Says which parameters there are to take: ``averaged`` if they are wanted and kept, or else ``last``."""
    return "averaged" if averaged and run.state.averaged is not None else "last"


def generator(run: Finished, *, averaged: bool, compute_dtype: str | None = None) -> Generator:
    """Takes the generator of a GAN, or the decoder of an autoencoder, out of a run.

    Args:
      run: the run.
      averaged: whether to take the averaged parameters, where there are any.
      compute_dtype: what products are computed in; None for what the run was trained with.

    Returns:
      The map. With the averaged parameters it gives, at the latents that the method draws, the images that it samples.
    """
    method, state = run.config.method, jax.device_get(run.state)
    method = dataclasses.replace(method, compute_dtype=compute_dtype or method.compute_dtype)
    spec = find(run.config.run.data, image_size=run.config.run.image_size)
    image_shape, classes = spec.image_shape, len(spec.class_names)
    last = parameters_taken(run, averaged=averaged) == "last"
    if isinstance(state, AutoencoderState):
        name = "decoder"
        variables = {"params": (state.network.params if last else state.averaged)[name]}
    else:
        name = "generator"
        params = state.generator.params if last else state.averaged
        variables = {"params": params, "batch_stats": state.generator.batch_stats}
    module, (latent_size,) = networks(method, image_shape=image_shape, classes=classes)[name]
    finish = _finish(method)

    def images(latents: Latents, *labels: Labels) -> Images:
        return finish(module.apply(variables, latents, *labels))

    told = classes if getattr(method, "conditional", False) else 0
    law = getattr(method, "latent_law", "normal")  # autoencoders have no choice of it
    truncation = getattr(method, "truncation", 1.0)
    return Generator(name, method.compute_dtype, latent_size, law, truncation, image_shape, told, images)


def _finish(method: Method) -> Callable[[Images], Images]:
    """From what the network gives to images in [-1, 1]."""
    match method:
        case Autoencoder(loss="mse"):
            return to_images
        case Autoencoder() | VAE():
            return lambda logits: to_images(jax.nn.sigmoid(logits))
        case _:
            return lambda images: images
