"""Trains the PyTorch twins with given weights, real batches and random numbers."""

from collections.abc import Iterator

import jax
import numpy as np

from imperative.agreement import Arrays
from imperative.requirements import torch
from imperative.setting import Draws, Setting, Trajectory, columns, draws, sizes
from imperative.training import optimizers
from imperative.twins import twin_of

nn, Tensor = torch.nn, torch.Tensor


def inject(twin: nn.Module, drawn: Draws, dtype: torch.dtype) -> None:
    """Replaces a twin's random numbers in its next step."""
    latents, masks, epsilon = jax.tree.map(lambda x: torch.tensor(np.asarray(x), dtype=dtype), drawn)
    remaining_latents, remaining_masks = iter(latents), iter(masks)
    twin.draw_latents = lambda count: next(remaining_latents)
    if masks:
        twin.discriminator.dropout.forward = lambda h: h * next(remaining_masks)
    if epsilon is not None:
        twin.draw_epsilon = lambda count: epsilon


def train(setting: Setting) -> Trajectory:
    """Trains a twin.

    Args:
      setting: the setting, with weights.

    Returns:
      The trajectory, with the gradients that the optimizers received.

    Raises:
      UserError: if the config has no twin.
    """
    sizes(setting.config)  # raises for a config without a twin
    dtype = getattr(torch, setting.precision)
    twin = twin_of(setting.config, image_shape=setting.image_shape).to(dtype)
    twin.load_state_dict({name: torch.tensor(array, dtype=dtype) for name, array in setting.weights.items()})
    names = {parameter: name for name, parameter in twin.named_parameters()}
    gradients: Arrays = {}

    def keep(optimizer: torch.optim.Optimizer, *_) -> None:
        for parameter in _parameters(optimizer):
            gradients[f"gradient/{names[parameter]}"] = parameter.grad.numpy().copy()

    for optimizer in optimizers(twin).values():
        optimizer.register_step_pre_hook(keep)
    rows, snapshots = [], {}
    for i in range(setting.steps):
        images = setting.images(i)
        inject(twin, draws(setting.config, setting.key(i), count=len(images)), dtype)
        gradients.clear()
        rows.append(twin.train_step(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), i))
        if i + 1 in setting.snapshots:
            snapshots[i + 1] = snapshot(twin) | gradients
    return Trajectory(columns([{name: value.item() for name, value in row.items()} for row in rows]), snapshots)


def snapshot(twin: nn.Module) -> Arrays:
    """Copies a twin's weights, statistics and moments under the names of :class:`Trajectory`."""
    counts = "num_batches_tracked"
    arrays = {f"weight/{name}": x for name, x in twin.state_dict().items() if not name.endswith(counts)}
    names = {parameter: name for name, parameter in twin.named_parameters()}
    for optimizer in optimizers(twin).values():
        for parameter in _parameters(optimizer):
            moments = optimizer.state.get(parameter, {})  # empty before its first step
            for moment in ("exp_avg", "exp_avg_sq"):
                arrays[f"{moment}/{names[parameter]}"] = moments.get(moment, torch.zeros_like(parameter))
    return {name: x.detach().numpy().copy() for name, x in arrays.items()}


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]
