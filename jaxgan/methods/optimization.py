"""Gradients averaged over devices, Adam, and the step that minimizes one objective."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgan.errors import UserError
from jaxgan.methods.method import Batch, Metrics, ModelState, Network, NetworkState, start_average


def value_and_mean_grad(
    loss: Callable[[PyTree, PyTree], tuple[Float[Array, ""], Any]],
    params: PyTree,
    examples: PyTree,
    *,
    axis_name: str | None,
    accumulate: int = 1,
) -> tuple[tuple[Float[Array, ""], Any], PyTree]:
    """Differentiates a loss that is a mean over examples, and averages the gradients over devices.

    Under ``shard_map`` the transpose of a broadcast sums the gradient of replicated parameters over devices, so its
    mean would be N times too large. Marking the parameters as varying first keeps the gradient local, and its mean is
    right under both ``shard_map`` and ``pmap``.

    Args:
      loss: from (parameters, examples) to (loss, auxiliary numbers), all means over these examples.
      params: the parameters, equal on every device.
      examples: arrays of this device, one row per example.
      axis_name: the mapped axis that the batch is split over, into equal parts; None on one device.
      accumulate: number of equal parts that the examples are split into (gradient accumulation). Only one part at a
        time needs memory for its gradient.

    Returns:
      ((loss, auxiliary), gradients), all means over the global batch and equal on every device.
    """
    if axis_name is not None:
        params = lax.pcast(params, axis_name, to="varying")
    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    if accumulate == 1:
        result = value_and_grad(params, examples)
    else:
        parts = jax.tree.map(lambda x: x.reshape(accumulate, len(x) // accumulate, *x.shape[1:]), examples)
        shapes = jax.eval_shape(value_and_grad, params, jax.tree.map(lambda x: x[0], parts))
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        if axis_name is not None:
            zeros = lax.pcast(zeros, axis_name, to="varying")
        sums, _ = lax.scan(lambda sums, p: (jax.tree.map(jnp.add, sums, value_and_grad(params, p)), None), zeros, parts)
        result = jax.tree.map(lambda x: x / accumulate, sums)
    if axis_name is None:
        return result
    return joined_mean(result, axis_name) if jax.process_count() > 1 else lax.pmean(result, axis_name)


def joined_mean(tree: PyTree, axis_name: str) -> PyTree:
    """Averages arrays over devices as ``lax.pmean`` does, but on CPU as one concatenated vector.

    Between CPU processes, gloo reduces each array separately, with three messages that each wake a thread. Other
    platforms combine the reductions themselves.

    Args:
      tree: arrays of this device.
      axis_name: the mapped axis.

    Returns:
      The means, equal on every device.
    """

    def joined(tree: PyTree) -> PyTree:
        arrays, structure = jax.tree.flatten(tree)
        ends, count = list(itertools.accumulate(x.size for x in arrays)), lax.axis_size(axis_name)
        vector = jnp.zeros(ends[-1], jnp.result_type(*arrays))
        for x, end in zip(arrays, ends, strict=True):  # XLA would compute concatenated arrays for every element
            vector = lax.dynamic_update_slice(vector, x.ravel().astype(vector.dtype), (end - x.size,))
        sums = jnp.split(lax.psum(vector, axis_name), ends[:-1])
        means = [s.reshape(x.shape).astype(x.dtype) / count for s, x in zip(sums, arrays, strict=True)]
        return jax.tree.unflatten(structure, means)

    return lax.platform_dependent(tree, cpu=joined, default=lambda tree: lax.pmean(tree, axis_name))


def adam(
    learning_rate: optax.ScalarOrSchedule, b1: float = 0.9, b2: float = 0.999, *, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Builds ``optax.adam`` with the same state, but without a rounding error of its bias correction.

    Optax computes 1 - 0.999^t in single precision. In the first steps this is wrong by 1e-5 to 5e-5, which scales all
    their updates. Here it is -expm1(t log 0.999). Both corrections go into one step size and one epsilon, which saves
    two divisions per element.

    Args:
      learning_rate: learning rate, or a schedule from the number of steps.
      b1: decay rate of the first moment.
      b2: decay rate of the second moment.
      eps: added to the square root of the corrected second moment.

    Returns:
      The gradient transformation.

    References:
      Kingma and Ba, Adam, 2015, algorithm 1 and the remark on efficiency in section 2.
    """
    plain = optax.adam(learning_rate, b1, b2, eps)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        _, state = plain.update(updates, state, params)  # its moments and count; its updates are not used
        assert isinstance(state, tuple)
        moments, *_ = state
        assert isinstance(moments, optax.ScaleByAdamState)
        count = cast(Array, moments.count)
        root = jnp.sqrt(_correction(b2, count))
        rate = learning_rate(count - 1) if callable(learning_rate) else learning_rate
        size, epsilon = cast(Array, rate * root / _correction(b1, count)), eps * root

        def step(mean: Array, square: Array) -> Array:
            return -size.astype(mean.dtype) * mean / (jnp.sqrt(square) + epsilon.astype(mean.dtype))

        return jax.tree.map(step, moments.mu, moments.nu), state

    return optax.GradientTransformation(plain.init, update)


def cosine_decay(rate: float, steps: int) -> optax.ScalarOrSchedule:
    """A learning rate that decays to 0 along a cosine in ``steps`` steps; constant if ``steps`` is 0."""
    return optax.cosine_decay_schedule(rate, steps) if steps else rate


def _correction(decay: float, count: Int[Array, ""]) -> Float[Array, ""]:
    """Computes the bias correction 1 - decay^count."""
    return -jnp.expm1(count * math.log(decay)) if decay else jnp.ones(())


Objective = Callable[[PyTree, Batch, Key[Array, ""]], tuple[Float[Array, ""], Metrics]]


def initialize(
    networks: Mapping[str, Network], optimizer: optax.GradientTransformation, *, ema_decay: float = 0.0
) -> Callable[[Key[Array, ""]], ModelState]:
    """Makes the ``init`` of a method that trains all its networks with one optimizer.

    Args:
      networks: modules without batch statistics, by name.
      optimizer: optimizer of all networks.
      ema_decay: decay of the parameters' moving average; 0 for none.

    Returns:
      A function from a key to the state, with parameters by network.
    """

    def init(key: Key[Array, ""]) -> ModelState:
        keys = jax.random.split(key, len(networks))
        params = {
            name: network.module.init(network_key, jnp.zeros((1, *network.input_shape)))["params"]
            for network_key, (name, network) in zip(keys, networks.items(), strict=True)
        }
        averaged = start_average(params) if ema_decay else None
        return ModelState(jnp.zeros((), jnp.int32), NetworkState(params, {}, optimizer.init(params)), averaged)

    return init


def minimize(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Callable[[ModelState, Batch, Key[Array, ""]], tuple[ModelState, Metrics]]:
    """Makes the ``step`` of a method that minimizes one objective.

    Args:
      objective: from (parameters, batch, key) to (mean loss, metrics), means over the batch.
      optimizer: optimizer of all parameters.
      ema_decay: decay of the parameters' moving average; 0 for none.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: number of parts that a device's batch is split into (gradient accumulation), to save memory.

    Returns:
      A method's ``step``.
    """

    def step(state: ModelState, batch: Batch, key: Key[Array, ""]) -> tuple[ModelState, Metrics]:
        network = state.network
        (_, metrics), gradients = value_and_mean_grad(
            lambda params, part: objective(params, part, key),
            network.params,
            batch,
            axis_name=axis_name,
            accumulate=accumulate,
        )
        network = update(network, gradients, network.batch_stats, optimizer)
        averaged = None
        if ema_decay:
            assert state.averaged is not None
            averaged = optax.incremental_update(network.params, state.averaged, 1 - ema_decay)
        return ModelState(state.step + 1, network, averaged), metrics

    return step


def update(
    network: NetworkState, gradients: PyTree, batch_stats: PyTree, optimizer: optax.GradientTransformation
) -> NetworkState:
    """Takes one optimizer step and stores the batch statistics of the pass."""
    try:
        updates, opt_state = optimizer.update(gradients, network.opt_state, network.params)
    except TypeError as error:
        if "required keyword-only" not in str(error):
            raise
        raise UserError(f"optimizer: it needs more than gradients and parameters, choose another ({error})") from error
    return NetworkState(optax.apply_updates(network.params, updates), batch_stats, opt_state)


def evaluate_objective(objective: Objective) -> Callable[[ModelState, Batch, Key[Array, ""]], Metrics]:
    """Makes a method's ``evaluate``: the metrics of its objective on held-out images."""
    return lambda state, batch, key: objective(state.eval_params, batch, key)[1]
