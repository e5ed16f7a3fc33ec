"""How the cost of a DCGAN step grows with its batch and with its width, and what more devices make of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax

from benchmarking.competitors import CASES, EAGER, OURS, TWINS, Case, competitors, in_jax
from benchmarking.turns import take_turns
from jaxgan import data
from jaxgan.config import DCGAN, Config, Run

CASE = "dcgan"
DEVICES = (1, 2, 4, 8)  # that share the chapter's batch
BATCH_SIZES, WIDTHS = (16, 64, 256, 1024), (16, 32, 64, 128)  # one varies, the other has the chapter's size


def points() -> Iterator[tuple[int, int]]:
    """Lists what is measured, as pairs of batch size and width, each once."""
    batch_size, width = Run().batch_size, DCGAN().width
    yield from dict.fromkeys([*((size, width) for size in BATCH_SIZES), *((batch_size, size) for size in WIDTHS)])


def case_of(batch_size: int, width: int) -> Case:
    """The DCGAN at another batch size and width, with no rivals in JAX."""
    config = CASES[CASE].config
    resized = Config(replace(config.method, width=width), replace(config.run, batch_size=batch_size))
    return CASES[CASE]._replace(config=resized, rivals={})


def measure(
    batch_size: int, width: int, dataset: data.Dataset, *, device: jax.Device, repeats: int, seconds: float
) -> Mapping[str, Any]:
    """Times a step of ours and of eager PyTorch, in turns.

    Args:
      batch_size: images in a step.
      width: channels at half of the images' size.
      dataset: the training images.
      device: where.
      repeats: turns of each.
      seconds: length of a turn; at least one step is made.

    Returns:
      What was measured, with the floating-point operations of a step.
    """
    case = case_of(batch_size, width)
    trains, _ = competitors(case, dataset, devices=[device], twins={EAGER: TWINS[EAGER]})
    rates, others = take_turns(trains, repeats=repeats, seconds=seconds)
    flops = case.flops(case.config.method, image_shape=dataset.images.shape[1:], batch_size=batch_size)
    return {"batch_size": batch_size, "width": width, "flops": flops, "rates": rates, "others": others}


def over_devices(
    present: Sequence[jax.Device], dataset: data.Dataset, *, repeats: int, seconds: float
) -> list[dict[str, Any]]:
    """Times a step of ours when so many devices share its batch, in turns.

    Args:
      present: the devices; more than one are used together.
      dataset: the training images.
      repeats: turns of each.
      seconds: length of a turn.

    Returns:
      What was measured, by number of devices.
    """
    case = case_of(Run().batch_size, DCGAN().width)
    trains = {n: in_jax(case, dataset, present[:n])[OURS] for n in DEVICES if n <= len(present)}
    rates, others = take_turns(trains, repeats=repeats, seconds=seconds)
    flops = case.flops(case.config.method, image_shape=dataset.images.shape[1:], batch_size=case.config.run.batch_size)
    return [{"devices": n, "flops": flops, "rates": {OURS: rates[n]}, "others": {OURS: others[n]}} for n in trains]
