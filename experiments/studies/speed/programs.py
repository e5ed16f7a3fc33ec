"""The programs of the benchmark: the same training steps in jaxgan, stock Flax layers, PyTorch and NNX."""

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import jax
import numpy as np
from studies.speed import stock_flax
from studies.speed.timing import Train

from jaxgan.config import Config, Run
from jaxgan.data import Dataset
from jaxgan.data.order import epoch_order
from jaxgan.methods import Method, build
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
JAXGAN, ALL_DEVICES, STOCK, NNX = "jaxgan", "jaxgan, all devices", "stock Flax layers", "Flax NNX"
EAGER, COMPILED = "PyTorch eager", "PyTorch compiled"
PROGRAMS = (JAXGAN, ALL_DEVICES, EAGER, COMPILED, STOCK, NNX)
NNX_TWINS = ("vanilla_gan", "dcgan")
WARM_UP = 3  # steps, enough to finish compilation


def programs(
    name: str, config: Config, dataset: Dataset, devices: Sequence[jax.Device], *, chosen: Sequence[str] = PROGRAMS
) -> dict[str, Train]:
    """Compiles and warms up the programs that train a method.

    Args:
      name: name of the recipe, one of `RECIPES`.
      config: config of the recipe, possibly with other sizes.
      dataset: training images.
      devices: devices of JAX; with more than one, jaxgan also runs on all of them.
      chosen: which of `PROGRAMS` to make.

    Returns:
      The available programs by name.
    """
    makers = {JAXGAN: partial(jaxgan, config, dataset, devices[:1])}
    if len(devices) > 1:
        makers[ALL_DEVICES] = partial(jaxgan, config, dataset, devices)
    device = {"cpu": "cpu", "gpu": "cuda"}.get(devices[0].platform)
    if device and find_spec("torch"):
        makers[EAGER] = partial(pytorch, config, dataset, device)
        makers[COMPILED] = partial(pytorch, config, dataset, device, compiled=True)
    if name == "dcgan":
        stock = stock_flax.dcgan(config.method, image_shape=dataset.images.shape[1:])
        makers[STOCK] = partial(jaxgan, config, dataset, devices[:1], method=stock)
    if name in NNX_TWINS:
        makers[NNX] = partial(nnx, name, config, dataset)
    found = {}
    for kind in (kind for kind in chosen if kind in makers):
        try:
            found[kind] = makers[kind]()
        except Exception as error:  # various types: no C++ compiler, no second derivative
            if kind != COMPILED:
                raise
            print(f"  no {kind}: {str(error).partition(chr(10))[0]}")
    return found


def jaxgan(config: Config, dataset: Dataset, devices: Sequence[jax.Device], *, method: Method | None = None) -> Train:
    """Compiles the training program of this package; ``method`` overrides the method of the config."""
    return training(config, dataset, devices, method=method).train


class Training(NamedTuple):
    """A function that continues a run, and its program."""

    train: Train
    lowered: jax.stages.Lowered
    compiled: jax.stages.Compiled


def training(
    config: Config, dataset: Dataset, devices: Sequence[jax.Device], *, method: Method | None = None
) -> Training:
    """Compiles the program like `jaxgan`, and returns it for cost analysis."""
    image_shape, everywhere, seed = dataset.images.shape[1:], replicated(devices), config.run.seed
    method = method or build(config.method, image_shape=image_shape, axis_name=mapped_axis(devices))
    program = compile_program(
        method, devices, image_shape=image_shape, batch_size=config.run.batch_size, parallel="shard_map"
    )
    images, labels, seeds = (
        jax.device_put(np.asarray(x), everywhere) for x in (dataset.images, dataset.labels, np.uint32(seed))
    )
    carry, epoch = program.init(seeds), 0

    def inputs(stop: int) -> Inputs:
        order = jax.device_put(epoch_order(len(images), seed=seed, epoch=epoch), everywhere)
        return Inputs(images, labels, order, seeds, np.int32(stop))

    lowered = program.train_steps.lower(carry, inputs(1))
    compiled = lowered.compile()

    def train(steps: int) -> None:
        nonlocal carry, epoch
        stop = int(carry.state.step) + steps
        carry = jax.block_until_ready(compiled(carry, inputs(stop)))
        epoch += 1
        if int(carry.state.step) < stop:
            raise FloatingPointError(f"a metric is not finite after step {int(carry.state.step) - 1}")

    train(1)
    return Training(train, lowered, compiled)


def pytorch(config: Config, dataset: Dataset, device: str, *, compiled: bool | str = False) -> Train:
    """Makes and warms up the PyTorch twin; images stay on the device, and the loop fetches no results.

    If ``compiled``, the losses are compiled by ``torch.compile``; a string selects its mode. The twin then also uses
    fused Adam and channels last, and skips unused gradients.
    """
    import torch
    from imperative.training import batch, on_device
    from imperative.twins import twin_of

    twin = twin_of(config.method, device=device, tuned=bool(compiled), compiled=compiled)
    if compiled:
        twin.to(memory_format=torch.channels_last)
    images, size, done = on_device(np.asarray(dataset.images), device), config.run.batch_size, 0
    steps_per_epoch = len(images) // size

    def train(steps: int) -> None:
        nonlocal done
        order, sums = torch.randperm(len(images), device=device), 0.0
        for i in range(steps):
            start = i % steps_per_epoch * size
            if compiled:
                torch.compiler.cudagraph_mark_step_begin()  # CUDA graphs may overwrite earlier results from here
            sums += torch.stack(list(twin.train_step(batch(images, order[start : start + size]), done).values()))
            done += 1
        sums.tolist()  # waits for the device

    train(WARM_UP)
    return train


def nnx(name: str, config: Config, dataset: Dataset) -> Train:
    """Makes and warms up the NNX twin, called as in its own training loop."""
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
