"""The same training in both designs, with equal weights, real batches and random numbers.

    setting = Setting(DCGAN(width=4), batches=lambda step: images[step], steps=200, snapshots=(1, 200))
    ours, theirs = functional(setting), imperative(setting)
    worst = max(differences(ours.snapshots[200], theirs.snapshots[200]).values())

Our method draws its random numbers from the key of each step. ``draws`` computes the same numbers from the same key,
and the twin uses them instead of its own. Only :func:`imperative` needs PyTorch: a recorded trajectory can replace it.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from imperative.agreement import Arrays, differences, growth
from imperative.setting import Setting, Trajectory, arithmetic, columns, draws, sizes
from jaxgan import interop
from jaxgan.methods import Batch, GANState, Method, NetworkState, build

__all__ = ["Setting", "Trajectory", "arithmetic", "differences", "drawn_weights", "draws", "functional", "growth"]
__all__ += ["imperative", "initial_state", "sizes"]


def functional(setting: Setting, *, method: Method | None = None) -> Trajectory:
    """Trains our method.

    Args:
      setting: the setting of the training.
      method: overrides the method of the config; built in the same ``arithmetic``.

    Returns:
      The trajectory.
    """
    with arithmetic(setting.precision):
        method = method or build(setting.config, image_shape=setting.image_shape)
        step, state = jax.jit(method.step), initial_state(setting, method)
        rows, snapshots = [], {}
        for i in range(setting.steps):
            images, before = jnp.asarray(setting.images(i)), state
            index = jnp.arange(len(images))
            state, metrics = step(before, Batch(images, index, index), setting.key(i))
            rows.append(metrics)
            if i + 1 in setting.snapshots:
                snapshots[i + 1] = snapshot(before, state, decay=setting.config.beta1)
        return Trajectory(columns(jax.device_get(rows)), snapshots)


def imperative(setting: Setting) -> Trajectory:
    """Trains the PyTorch twin; see :func:`functional`."""
    from imperative.injection import train

    with arithmetic(setting.precision):
        return train(replace(setting, weights=setting.weights or drawn_weights(setting)))


def initial_state(setting: Setting, method: Method) -> PyTree:
    """Makes the initial state of our method.

    Args:
      setting: holds the weights, or the seed to draw them from.
      method: our method.

    Returns:
      The state, in the precision of the setting.
    """
    if setting.weights is None:
        state = jax.jit(method.init)(jax.random.key(setting.seed))
    else:  # Adam's moments and step counts start at zero
        shapes = jax.eval_shape(method.init, jax.random.key(0))
        state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    types = {np.dtype("float32"): setting.precision, np.dtype("float64"): setting.precision}
    state = jax.tree.map(lambda x: x.astype(types.get(x.dtype, x.dtype)), state)
    return state if setting.weights is None else interop.with_weights(state, setting.weights)


def drawn_weights(setting: Setting) -> Arrays:
    """Returns the initial weights of our method, by PyTorch's names."""
    with arithmetic(setting.precision):
        return interop.weights(initial_state(setting, build(setting.config, image_shape=setting.image_shape)))


def snapshot(before: PyTree, after: PyTree, *, decay: float) -> Arrays:
    """Collects every array to compare after a step of our method.

    Gradients follow from Adam's first moment, which changes from m to decay m + (1 - decay) gradient.

    Args:
      before: the state before the step.
      after: the state after it.
      decay: decay rate of Adam's first moment.

    Returns:
      Arrays as in :class:`Trajectory`.
    """
    arrays = {f"weight/{name}": array for name, array in interop.weights(after).items()}
    for (prefix, network), (_, old_network) in zip(_networks(after), _networks(before), strict=True):
        old, new = interop.adam_state(old_network), interop.adam_state(network)
        for name in new.exp_avg:
            arrays[f"exp_avg/{prefix}{name}"] = new.exp_avg[name]
            arrays[f"exp_avg_sq/{prefix}{name}"] = new.exp_avg_sq[name]
            if new.step > old.step:
                gradient = (new.exp_avg[name] - decay * old.exp_avg[name]) / (1 - decay)
                arrays[f"gradient/{prefix}{name}"] = gradient
    return arrays


def _networks(state: PyTree) -> list[tuple[str, NetworkState]]:
    """Returns the networks that have an optimizer, each with the prefix of its names."""
    if isinstance(state, GANState):
        return [("generator.", state.generator), ("discriminator.", state.discriminator)]
    return [("", state.network)]
