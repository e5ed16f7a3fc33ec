"""The programs to compare: the same training steps in jaxgan, stock Flax layers, PyTorch and Flax NNX."""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from studies.speed import stock_flax
from studies.speed.timing import Train

from jaxgan.config import Config, Run
from jaxgan.data import Dataset
from jaxgan.data.order import epoch_order
from jaxgan.methods import Batch, Method, build
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN
from jaxgan.runtime.devices import mapped_axis, replicated
from jaxgan.runtime.program import Inputs, compile_program

RECIPES = {
    "vanilla_gan": Config(VanillaGAN()),
    "dcgan": Config(DCGAN()),
    "wgan": Config(WGAN()),
    "vae": Config(VAE(), Run(batch_size=128)),
}
JAXGAN, MANY_DEVICES, STOCK, NNX = "jaxgan", "jaxgan, all devices", "stock Flax layers", "Flax NNX"
EAGER, TUNED, COMPILED = "PyTorch eager", "PyTorch tuned", "PyTorch torch.compile"
PYTORCH = {EAGER: {}, TUNED: {"tuned": True}, COMPILED: {"tuned": True, "compiled": True}}
PROGRAMS = (JAXGAN, MANY_DEVICES, EAGER, TUNED, COMPILED, STOCK, NNX)
NNX_TWINS = ("vanilla_gan", "dcgan")
WARM_UP = 3  # steps, enough for every compilation


def programs(
    name: str,
    config: Config,
    dataset: Dataset,
    devices: Sequence[jax.Device],
    *,
    chosen: Sequence[str] = PROGRAMS,
) -> tuple[dict[str, Train], dict[str, str]]:
    """Compiles and warms up every program that trains a method.

    Args:
      name: the recipe, one of `RECIPES`.
      config: the recipe's config, perhaps of other sizes.
      dataset: the training images.
      devices: where JAX runs; with more than one, jaxgan also runs on all of them.
      chosen: which of `PROGRAMS` take part.

    Returns:
      The programs by name, and for each program that cannot run here, the reason.
    """
    image_shape = dataset.images.shape[1:]
    makers = {JAXGAN: partial(jaxgan, config, dataset, devices[:1])}
    if len(devices) > 1:
        makers[MANY_DEVICES] = partial(jaxgan, config, dataset, devices)
    torch_device, missing = find_torch(devices[0].platform)
    makers |= {kind: partial(pytorch, config, dataset, torch_device, **how) for kind, how in PYTORCH.items()}
    if name == "dcgan":
        stock = stock_flax.dcgan(config.method, image_shape=image_shape)
        makers[STOCK] = partial(jaxgan, config, dataset, devices[:1], method=stock)
    if name in NNX_TWINS:
        makers[NNX] = partial(nnx, name, config, dataset)
    found, absent = {}, {}
    for kind in (kind for kind in PROGRAMS if kind in makers and kind in chosen):
        if kind in PYTORCH and torch_device is None:
            absent[kind] = missing
        elif kind == COMPILED and torch_device == "cpu" and not any(map(shutil.which, _compilers())):
            absent[kind] = "no C++ compiler"
        else:
            try:
                found[kind] = makers[kind]()
            except NotImplementedError as error:
                absent[kind] = str(error)
            except Exception as error:  # a compiler that is there and does not work raises errors of many types
                if kind != COMPILED:
                    raise
                absent[kind] = f"failed to compile ({type(error).__name__})"
    return found, absent


def jaxgan(config: Config, dataset: Dataset, devices: Sequence[jax.Device], *, method: Method | None = None) -> Train:
    """Compiles the program that every run of this package drives.

    Args:
      config: the recipe.
      dataset: the training images.
      devices: where it runs; shard_map takes several.
      method: replaces the method that the config describes.

    Returns:
      The program.
    """
    image_shape, everywhere, seed = dataset.images.shape[1:], replicated(devices), config.run.seed
    method = method or build(config.method, image_shape=image_shape, axis_name=mapped_axis(devices))
    program = compile_program(
        method, devices, image_shape=image_shape, batch_size=config.run.batch_size, parallel="shard_map"
    )
    images, labels, seeds = (
        jax.device_put(np.asarray(x), everywhere) for x in (dataset.images, dataset.labels, np.uint32(seed))
    )
    carry, epoch = program.init(seeds), 0

    def train(steps: int) -> None:
        nonlocal carry, epoch
        order = jax.device_put(epoch_order(len(images), seed=seed, epoch=epoch), everywhere)
        stop = np.int32(int(carry.state.step) + steps)
        carry = jax.block_until_ready(program.train_steps(carry, Inputs(images, labels, order, seeds, stop)))
        epoch += 1
        if int(carry.state.step) != stop:
            raise RuntimeError(f"the program stopped at step {carry.state.step} of {stop}")

    train(1)
    return train


def pytorch(config: Config, dataset: Dataset, device: str, *, tuned: bool = False, compiled: bool = False) -> Train:
    """Makes and warms up the PyTorch twin; its loop fetches nothing from the device.

    Args:
      config: the recipe.
      dataset: the training images, which stay on the device as bytes.
      device: where PyTorch runs.
      tuned: whether to use fused Adam, no gradient that no update uses, and channels last, as oneDNN and cuDNN prefer.
      compiled: whether the losses pass through ``torch.compile``.

    Returns:
      The program.

    Raises:
      NotImplementedError: if the twin cannot be compiled.
    """
    import torch
    from imperative.training import batch, on_device
    from imperative.twins import twin_of

    twin = twin_of(config.method, device=device, tuned=tuned, compiled=compiled)
    if tuned:
        twin.to(memory_format=torch.channels_last)
    images, size, done = on_device(np.asarray(dataset.images), device), config.run.batch_size, 0
    steps_per_epoch = len(images) // size

    def train(steps: int) -> None:
        nonlocal done
        order, sums = torch.randperm(len(images), device=device), 0.0
        for i in range(steps):
            start = i % steps_per_epoch * size
            sums += torch.stack(list(twin.train_step(batch(images, order[start : start + size]), done).values()))
            done += 1
        sums.tolist()  # waits for the device

    train(WARM_UP)
    return train


def nnx(name: str, config: Config, dataset: Dataset) -> Train:
    """Makes and warms up the NNX twin, driven as by its own loop."""
    from imperative import nnx_dcgan, nnx_vanilla_gan
    from imperative.nnx_training import batch

    twin = nnx_dcgan.DCGAN() if name == "dcgan" else nnx_vanilla_gan.VanillaGAN()
    images, size = np.asarray(dataset.images), config.run.batch_size
    steps_per_epoch, shuffler = len(images) // size, np.random.default_rng(0)

    def train(steps: int) -> None:
        order, sums = shuffler.permutation(len(images)), None
        for i in range(steps):
            start = i % steps_per_epoch * size
            metrics = twin.train_step(batch(images, order[start : start + size]))
            sums = metrics if sums is None else {key: sums[key] + value for key, value in metrics.items()}
        jax.block_until_ready(sums)

    train(WARM_UP)
    return train


def find_torch(jax_platform: str) -> tuple[str | None, str]:
    """Finds where PyTorch can run beside JAX: (device, "") or (None, the reason why it cannot)."""
    try:
        import torch
    except ImportError:
        return None, "not installed"
    if jax_platform == "cpu":
        return "cpu", ""
    if jax_platform == "gpu" and torch.cuda.is_available():
        return "cuda", ""
    return None, f"PyTorch has no {jax_platform} here"


def operations(method: Any, *, image_shape: tuple[int, int, int], batch_size: int) -> float:
    """Counts the floating-point operations of a step as XLA does before it optimizes.

    Args:
      method: the config.
      image_shape: height, width and channels of an image.
      batch_size: images per step.

    Returns:
      The count. Both branches of a conditional count, so a Wasserstein GAN's step counts with its generator update.
    """
    built, key = build(method, image_shape=image_shape), jax.eval_shape(jax.random.key, 0)
    index = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    batch = Batch(jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.float32), index, index)
    traced = jax.jit(built.step).trace(jax.eval_shape(built.init, key), batch, key)
    return traced.lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]  # on CPU, tiles count margins


def _compilers() -> list[str]:
    return [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++", "cl"]
