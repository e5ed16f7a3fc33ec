"""One training of a few steps, on one device or as one process of several, for `spreading` to compare.

Run:       python experiments/comparing/spread_run.py SPEC, or the same through torchrun
Writes:    SPEC's out, with .RANK.npz added: weights before and after, and the metrics of each step

The twins draw the noise of the whole batch, each draw from a seed of its own, and take their part of it: then N
processes train on what one trains on, and their results can be compared. For the same reason all is in float64, where
the order of a sum is no matter. Nothing else differs from the plain command.
"""

import dataclasses
import importlib
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

EXPERIMENTS = Path(__file__).parents[1]
TWINS = {"vanilla_gan": "vanilla_gan", "dcgan": "dcgan", "wgan": "WGAN", "vae": "VAE"}  # what builds them, by module


class Spec(NamedTuple):
    """A training.

    Attributes:
      design: ``recipe`` or ``twin``.
      method: what trains.
      steps: for how long.
      devices: of a recipe; a twin has as many processes as it was started with.
      twins: the folder that holds the package of twins.
      out: file to write.
      workdir: the training's folder.
      data_dir: where MNIST is prepared.
    """

    design: str
    method: str
    steps: int
    devices: int
    twins: str
    out: str
    workdir: str
    data_dir: str | None


def train_recipe(spec: Spec) -> dict[str, np.ndarray]:
    """Trains the functional design on the devices of this process.

    Args:
      spec: the training.

    Returns:
      Arrays by name: ``before/…`` and ``after/…`` are weights, ``metrics/…`` have an entry a step.
    """
    import jax
    import jax.numpy as jnp
    from imperative.parity import arithmetic

    from jaxgan import data, methods
    from jaxgan.runtime import program
    from jaxgan.runtime.devices import select_devices
    from jaxgan.runtime.loop import train
    from jaxgan.runtime.tracking import read_rows

    config = importlib.import_module(spec.method).CONFIG
    run = dataclasses.replace(config.run, workdir=Path(spec.workdir), epochs=1, log_every=1, sample_epochs=())
    devices = select_devices(platform="cpu", count=spec.devices, batch_size=run.batch_size)
    digits = data.load("mnist", data_dir=spec.data_dir)
    count = spec.steps * run.batch_size
    digits = digits._replace(images=digits.images[:count], labels=digits.labels[:count])
    shape = digits.images.shape[1:]

    def to_unit_range(images: jax.Array) -> jax.Array:
        return images.astype(jnp.float64) / 127.5 - 1

    with arithmetic("float64"), patch.object(program, "to_unit_range", to_unit_range):
        method = methods.build(config.method, image_shape=shape)
        before = jax.jit(lambda seed: program.initial_carry(method, seed, image_shape=shape))(np.uint32(run.seed)).state
        after = train(dataclasses.replace(config, run=run), digits, devices, resume=False)
    rows = read_rows(Path(spec.workdir, "metrics.jsonl"))
    found = {f"metrics/{name}": np.array([row[name] for row in rows]) for name in rows[0]}
    for when, state in (("before", before), ("after", after)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(state)):
            if ".params" in (name := jax.tree_util.keystr(path)):
                found[f"{when}/{name}"] = leaf
    return found


def train_twin(spec: Spec) -> dict[str, np.ndarray]:
    """Trains the twin by its own command, in a process that may be one of several.

    Args:
      spec: the training.

    Returns:
      As :func:`train_recipe`, and what PyTorch says to SyncBatchNorm in such a process, empty where it does it.
    """
    sys.path.insert(0, spec.twins)
    from imperative import training
    from imperative.requirements import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    module = importlib.import_module(f"imperative.{spec.method}")
    twins, rows, refusals = [], [], []

    def make(**options: Any) -> Any:
        twin = getattr(module, TWINS[spec.method])(**options)
        share_noise(twin, torch, rank=rank, world=world)
        try:
            torch.nn.SyncBatchNorm(2)(torch.ones(2, 2, 1, 1))
        except (ValueError, RuntimeError) as error:
            refusals.append(str(error))
        twins.append(({name: value.detach().clone() for name, value in twin.named_parameters()}, twin))
        step = twin.train_step

        def train_step(images: Any, number: int) -> Any:
            metrics = step(images.double(), number)
            rows.append({name: float(value) for name, value in metrics.items()})
            return metrics

        twin.train_step = train_step
        return twin

    sys.argv = ["twin", "--steps", str(spec.steps), *(["--data-dir", spec.data_dir] if spec.data_dir else [])]
    sizes = {"vae": 128}  # as in the recipes
    training.main(make, training.Options(workdir=Path(spec.workdir), batch_size=sizes.get(spec.method, 64)))
    ((before, twin),) = twins
    found = {f"metrics/{name}": np.array([row[name] for row in rows]) for name in rows[0]}
    found |= {f"before/{name}": value.numpy() for name, value in before.items()}
    found["refusal"] = np.array("".join(refusals))
    return found | {f"after/{name}": value.detach().numpy() for name, value in twin.named_parameters()}


def share_noise(twin: Any, torch: Any, *, rank: int, world: int) -> None:
    """Replaces what a twin draws by its part of what one process would draw for the whole batch.

    Args:
      twin: the twin.
      torch: PyTorch, which this module does not import for the recipes.
      rank: the process.
      world: how many there are.
    """
    seeds = itertools.count()

    def shared(draw: Callable[[int], Any]) -> Callable[[int], Any]:
        def part(count: int) -> Any:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(next(seeds))
                return draw(count * world)[rank * count : (rank + 1) * count]

        return part

    class SharedDropout(torch.nn.Dropout):
        """Dropout of the units that one process would drop."""

        def forward(self, h: Any) -> Any:
            mask = shared(lambda count: torch.nn.functional.dropout(torch.ones(count, *h.shape[1:]), self.p))
            return h * mask(len(h)) if self.training else h

    for name in ("draw_latents", "draw_shares"):
        if hasattr(twin, name):
            setattr(twin, name, shared(getattr(twin, name)))
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Dropout):
                setattr(parent, name, SharedDropout(child.p))


if __name__ == "__main__":
    sys.path[0] = str(EXPERIMENTS)
    chosen = Spec(**json.loads(sys.argv[1]))
    arrays = (train_recipe if chosen.design == "recipe" else train_twin)(chosen)
    np.savez(f"{chosen.out}.{os.environ.get('RANK', '0')}.npz", **arrays)
