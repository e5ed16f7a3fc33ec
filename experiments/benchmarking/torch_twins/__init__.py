"""The imperative twins that the benchmark times: the same steps, as a good PyTorch user would write them.

A twin has networks of the same sizes as ours, in PyTorch's own initialisation, and a step that does the same work and
records the same metrics. Two things that cost nothing are PyTorch's own: batch normalization also follows the
generator's pass through the discriminator, and random numbers come from one stream.
"""

from benchmarking.torch_twins.convolutional import dcgan
from benchmarking.torch_twins.fully_connected import vanilla_gan
from benchmarking.torch_twins.training import matrix_product, on_device, trainer
from benchmarking.torch_twins.vae import vae
from benchmarking.torch_twins.wasserstein import wgan

TWINS = {"vanilla_gan": vanilla_gan, "dcgan": dcgan, "wgan": wgan, "vae": vae}  # by the kind of the method

__all__ = ["TWINS", "matrix_product", "on_device", "trainer"]
