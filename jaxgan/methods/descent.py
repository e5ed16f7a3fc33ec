"""Methods that minimise one objective over all of their networks at once."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key, PyTree

from jaxgan.methods.gradients import value_and_mean_grad
from jaxgan.methods.method import Batch, Metrics
from jaxgan.methods.state import AutoencoderState, NetworkState

Objective = Callable[[PyTree, Batch, Key[Array, ""]], tuple[Float[Array, ""], Metrics]]


def initializer(
    networks: Mapping[str, tuple[nn.Module, tuple[int, ...]]],
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float = 0.0,
) -> Callable[[Key[Array, ""]], AutoencoderState]:
    """Makes the function that draws the state to begin with.

    Args:
      networks: modules without batch statistics, with the shape of an input example, by name.
      optimizer: of all of them.
      ema_decay: decay of the averaged parameters; 0 for none.

    Returns:
      A function from a key to the state, with the networks' parameters by name.
    """

    def init(key: Key[Array, ""]) -> AutoencoderState:
        keys = jax.random.split(key, len(networks))
        params = {
            name: module.init(own, jnp.zeros((1, *shape)))["params"]
            for own, (name, (module, shape)) in zip(keys, networks.items(), strict=True)
        }
        averaged = jax.tree.map(jnp.copy, params) if ema_decay else None
        return AutoencoderState(jnp.zeros((), jnp.int32), NetworkState(params, {}, optimizer.init(params)), averaged)

    return init


def descent(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Callable[[AutoencoderState, Batch, Key[Array, ""]], tuple[AutoencoderState, Metrics]]:
    """Makes the step that follows the gradient of an objective.

    Args:
      objective: from (parameters, batch, key) to (mean loss, metrics), means over the batch.
      optimizer: what makes updates of gradients.
      ema_decay: decay of the averaged parameters; 0 for none.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: parts that a device's batch is split into, one after the other, to take less memory.

    Returns:
      A method's ``step``.
    """

    def step(state: AutoencoderState, batch: Batch, key: Key[Array, ""]) -> tuple[AutoencoderState, Metrics]:
        network = state.network
        (_, metrics), gradients = value_and_mean_grad(
            lambda params, part: objective(params, part, key),
            network.params,
            batch,
            axis_name=axis_name,
            accumulate=accumulate,
        )
        updates, opt_state = optimizer.update(gradients, network.opt_state, network.params)
        params = optax.apply_updates(network.params, updates)
        averaged = optax.incremental_update(params, state.averaged, 1 - ema_decay) if ema_decay else None
        return AutoencoderState(state.step + 1, NetworkState(params, network.batch_stats, opt_state), averaged), metrics

    return step


def trained(state: AutoencoderState) -> PyTree:
    """The parameters to use after training: averaged over the last steps where an average is kept."""
    return state.network.params if state.averaged is None else state.averaged


def measure(objective: Objective) -> Callable[[AutoencoderState, Batch, Key[Array, ""]], Metrics]:
    """Makes a method's ``evaluate``, the metrics of its objective on other images."""
    return lambda state, batch, key: objective(trained(state), batch, key)[1]
