"""What is compared: this package's own compiled program, its rivals in JAX and PyTorch, and the product of matrices."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarking import flops, stock_flax
from benchmarking.turns import Run
from jaxgan import config as configs
from jaxgan import data, methods
from jaxgan.config import Config
from jaxgan.data.order import epoch_order
from jaxgan.methods import Method
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import Inputs, compile_program

OURS, STOCK = "jaxgan", "stock Flax layers"
EAGER, TUNED, COMPILED = "PyTorch eager", "PyTorch eager, tuned", "PyTorch torch.compile, tuned"
TWINS = {EAGER: {}, TUNED: {"tuned": True}, COMPILED: {"tuned": True, "compiled": True}}
PEAK_SIZE = 1024  # rows of the square matrices whose product sets the peak

Build = Callable[[str | None], Method]  # from the mapped axis, None on one device


class Case(NamedTuple):
    """One comparison: a method, the count of its arithmetic, and what is required of it.

    Attributes:
      config: what is trained; its kind says which twin in PyTorch it has.
      flops: from (method, image_shape=, batch_size=) to the floating-point operations of a step.
      required: least ratio of steps per second by competitor: on one thread, on two, and so on, the last for all more.
      rivals: other methods in JAX that do the same work, by competitor, from (config of the method, image_shape=).
      spread: whether, on CPU, ours has a device for each thread: convolutions on half of a batch each keep
        two threads busier than two threads in one convolution.
    """

    config: Config
    flops: Callable[..., float]
    required: Mapping[str, Sequence[float]]
    rivals: Mapping[str, Callable[..., Method]] = {}
    spread: bool = False


FRONT_END = "shard_map"  # for several devices; unlike pmap it takes the compiler's options
CASES = {
    "vanilla_gan": Case(Config(configs.VanillaGAN()), flops.vanilla_gan, {EAGER: (3.0,)}),
    "dcgan": Case(
        Config(configs.DCGAN()), flops.dcgan, {EAGER: (1.5, 1.3), STOCK: (8.0,)}, {STOCK: stock_flax.dcgan}, True
    ),
    "wgan": Case(Config(configs.WGAN()), flops.wgan, {EAGER: (1.5,)}, spread=True),
    "vae": Case(Config(configs.VAE(), configs.Run(batch_size=128)), flops.vae, {EAGER: (2.0,)}),
}


def compiled_program(build: Build, config: Config, dataset: data.Dataset, devices: Sequence[jax.Device]) -> Run:
    """Makes the function that trains a method by the very program that `jaxgan.runtime.loop` drives.

    Args:
      build: makes the method.
      config: how it is trained.
      dataset: the training images.
      devices: where.

    Returns:
      The function, compiled.
    """
    image_shape, everywhere = dataset.images.shape[1:], replicated(devices)
    program = compile_program(
        build, devices, image_shape=image_shape, batch_size=config.run.batch_size, parallel=FRONT_END
    )
    seed = jax.device_put(np.uint32(config.run.seed), everywhere)
    images, labels = (jax.device_put(np.asarray(x), everywhere) for x in (dataset.images, dataset.labels))
    carry, epoch = program.init(seed), 0

    def run(count: int) -> None:
        nonlocal carry, epoch
        order = jax.device_put(epoch_order(len(images), seed=config.run.seed, epoch=epoch), everywhere)
        stop = np.int32(int(carry.state.step) + count)
        carry = jax.block_until_ready(program.advance(carry, Inputs(images, labels, order, seed, stop)))
        epoch += 1
        if int(carry.state.step) != stop:
            raise RuntimeError(f"the program stopped at step {carry.state.step} of {stop}")

    run(1)
    return run


def in_jax(case: Case, dataset: data.Dataset, devices: Sequence[jax.Device]) -> dict[str, Run]:
    """Compiles this package's own method, and its rivals in JAX on the first device."""
    method, image_shape = case.config.method, dataset.images.shape[1:]
    builds: dict[str, Build] = {
        OURS: lambda axis_name: methods.build(method, image_shape=image_shape, axis_name=axis_name),
        **{name: lambda _, make=make: make(method, image_shape=image_shape) for name, make in case.rivals.items()},
    }
    return {
        name: compiled_program(build, case.config, dataset, devices if name == OURS else devices[:1])
        for name, build in builds.items()
    }


def in_torch(case: Case, dataset: data.Dataset, *, device: str, how: Mapping[str, bool]) -> Run:
    """Makes and warms up a twin in PyTorch.

    Args:
      case: the comparison.
      dataset: the training images.
      device: where PyTorch runs.
      how: one of TWINS.

    Returns:
      The function that trains.
    """
    from benchmarking import torch_rivals

    return torch_rivals.trainer(case.config, np.asarray(dataset.images), device=device, **how)


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


def matrix_products(device: jax.Device, *, threads: int) -> dict[str, Run]:
    """Makes the functions that multiply matrices, by library, and tells PyTorch how many threads it may use."""
    products = {"jax": matrix_product(PEAK_SIZE, device=device)}
    where, _ = torch_device(device.platform)
    if where is not None:
        import torch

        from benchmarking import torch_rivals

        torch.set_num_threads(threads)
        products["torch"] = torch_rivals.matrix_product(PEAK_SIZE, device=where)
    return products


def competitors(
    case: Case, dataset: data.Dataset, *, devices: Sequence[jax.Device], twins: Mapping[str, Mapping[str, bool]] = TWINS
) -> tuple[dict[str, Run], dict[str, str]]:
    """Compiles and warms up everything that is compared.

    Args:
      case: the comparison.
      dataset: the training images.
      devices: where JAX runs.
      twins: which ways of using PyTorch take part.

    Returns:
      The functions that train, by competitor; and for every competitor that cannot run here, why.
    """
    trains = in_jax(case, dataset, devices)
    where, reason = torch_device(devices[0].platform)
    if where is None:
        return trains, dict.fromkeys(twins, reason)
    reasons = {}
    for name, how in twins.items():
        if how.get("compiled") and where == "cpu" and not any(map(shutil.which, _compilers())):
            reasons[name] = "no C++ compiler"
            continue
        try:
            trains[name] = in_torch(case, dataset, device=where, how=how)
        except NotImplementedError as error:
            reasons[name] = str(error)
        except Exception as error:  # a compiler that is there and does not work says so in many ways
            if not how.get("compiled"):
                raise
            reasons[name] = f"failed to compile ({type(error).__name__})"
    return trains, reasons


def _compilers() -> list[str]:
    return [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++", "cl"]
