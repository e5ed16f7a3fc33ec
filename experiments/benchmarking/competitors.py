"""What is compared: this package's own compiled program, its twins in PyTorch, and the product of two matrices."""

import os
import shutil
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarking.turns import Run
from jaxgan import data, methods
from jaxgan.config import Config, VanillaGAN
from jaxgan.data.order import epoch_order
from jaxgan.runtime.program import Inputs, compile_program

OURS, EAGER, TUNED, COMPILED = "jaxgan", "PyTorch eager", "PyTorch eager, tuned", "PyTorch torch.compile, tuned"
TWINS = {EAGER: {}, TUNED: {"tuned": True}, COMPILED: {"tuned": True, "compiled": True}}
PEAK_SIZE = 1024  # rows of the square matrices whose product sets the peak


class Case(NamedTuple):
    """One comparison: a method, its twin, the count of its arithmetic, and what is required of it."""

    config: Config
    twin: str  # function of torch_twins.py
    flops: Callable[..., float]  # from (method, pixels=, batch_size=)
    required: Mapping[str, float]  # least ratio of steps per second, by competitor


def vanilla_gan_flops(method: VanillaGAN, *, pixels: int, batch_size: int) -> float:
    """Counts the floating-point operations of a step's matrix products; all else is of lower order.

    A dense layer from n to m units multiplies and adds nm times an example in its forward pass, nm times for the
    gradient of its weights, and nm times for that of its input, which the first layer of a chain does not need.

    Args:
      method: the method.
      pixels: numbers in an image.
      batch_size: images in a step.

    Returns:
      The count; a multiplication and an addition are two.
    """
    hidden = (method.hidden_units,) * method.hidden_layers
    generator = [n * m for n, m in pairwise((method.latent_size, *hidden, pixels))]
    discriminator = [n * m for n, m in pairwise((pixels, *hidden, 1))]
    g, d = sum(generator), sum(discriminator)
    discriminator_update = g + 2 * d + 2 * d + 2 * (d - discriminator[0])  # forward; weights and inputs of two batches
    generator_update = g + d + d + g + (g - generator[0])  # forward; through the discriminator; weights and inputs
    return 2.0 * batch_size * (discriminator_update + generator_update)


def compiled_program(case: Case, dataset: data.Dataset, device: jax.Device) -> Run:
    """Makes this package's competitor: the very program that `jaxgan.runtime.loop` drives."""
    config, image_shape = case.config, dataset.images.shape[1:]
    program = compile_program(
        lambda axis_name: methods.build(config.method, image_shape=image_shape, axis_name=axis_name),
        [device],
        image_shape=image_shape,
        batch_size=config.run.batch_size,
    )
    seed = jax.device_put(np.uint32(config.run.seed), device)
    images, labels = (jax.device_put(np.asarray(x), device) for x in (dataset.images, dataset.labels))
    carry, epoch = program.init(seed), 0

    def run(count: int) -> None:
        nonlocal carry, epoch
        order = jax.device_put(epoch_order(len(images), seed=config.run.seed, epoch=epoch), device)
        stop = np.int32(int(carry.state.step) + count)
        carry = jax.block_until_ready(program.advance(carry, Inputs(images, labels, order, seed, stop)))
        epoch += 1
        if int(carry.state.step) != stop:
            raise RuntimeError(f"the program stopped at step {carry.state.step} of {stop}")

    run(20)
    return run


def matrix_product(size: int, *, device: jax.Device) -> Run:
    """Makes a function that multiplies two square float32 matrices so many times, for the peak of the machine."""
    x, y = jax.device_put(np.random.default_rng(0).standard_normal((2, size, size), np.float32), device)
    product = jax.jit(jnp.matmul)

    def run(count: int) -> None:
        for _ in range(count):
            z = product(x, y)
        jax.block_until_ready(z)

    run(1)
    return run


def torch_device(jax_platform: str) -> tuple[str | None, str]:
    """Finds where PyTorch can run beside JAX: (device, "") or (None, why it cannot)."""
    try:
        import torch
    except ImportError:
        return None, "not installed"
    if jax_platform == "cpu":
        return "cpu", ""
    if jax_platform == "gpu" and torch.cuda.is_available():
        return "cuda", ""
    return None, f"PyTorch has no {jax_platform} here"


def competitors(case: Case, dataset: data.Dataset, *, device: jax.Device, threads: int) -> tuple[dict, dict, dict]:
    """Compiles and warms up everything that is compared.

    Args:
      case: the comparison.
      dataset: the training images.
      device: where JAX runs.
      threads: how many threads PyTorch may use; JAX follows the process.

    Returns:
      The functions that train, by competitor; those that multiply matrices, by library; and for every competitor that
      cannot run here, why.
    """
    trains = {OURS: compiled_program(case, dataset, device)}
    products = {"jax": matrix_product(PEAK_SIZE, device=device)}
    where, reason = torch_device(device.platform)
    if where is None:
        return trains, products, dict.fromkeys(TWINS, reason)
    import torch

    from benchmarking import torch_twins

    torch.set_num_threads(threads)
    products["torch"] = torch_twins.matrix_product(PEAK_SIZE, device=where)
    twin, reasons = getattr(torch_twins, case.twin), {}
    for name, how in TWINS.items():
        if how.get("compiled") and where == "cpu" and not any(map(shutil.which, _compilers())):
            reasons[name] = "no C++ compiler"
            continue
        try:
            trains[name] = twin(
                case.config.method,
                np.asarray(dataset.images),
                batch_size=case.config.run.batch_size,
                device=where,
                **how,
            )
        except Exception as error:  # a compiler that is there and does not work says so in many ways
            if not how.get("compiled"):
                raise
            reasons[name] = f"failed to compile ({type(error).__name__})"
    return trains, products, reasons


def _compilers() -> list[str]:
    return [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++", "cl"]
