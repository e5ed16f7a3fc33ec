"""What a program is made of, before it runs: the layers of its networks and the cost of its step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgan.methods import Batch, Method


class Layer(NamedTuple):
    """One layer of a network."""

    name: str
    output_shape: tuple[int, ...]
    parameters: int


def layers(module: nn.Module, input_shape: tuple[int, ...], *, batch_size: int) -> list[Layer]:
    """Lists a network's layers in the order in which they are applied, without computing anything.

    Args:
      module: the network.
      input_shape: shape of one input example.
      batch_size: examples in the batch whose output shapes are shown.

    Returns:
      One entry for each submodule that the network calls.
    """
    found = {}

    def record(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext):
        result = call(*args, **kwargs)
        if context.method_name == "__call__" and len(context.module.path) == 1:
            found[context.module.name] = result.shape
        return result

    def trace() -> dict:
        with nn.intercept_methods(record):
            return module.init(jax.random.key(0), jnp.zeros((batch_size, *input_shape)))

    params = jax.eval_shape(trace)["params"]
    return [Layer(name, shape, sum(x.size for x in jax.tree.leaves(params[name]))) for name, shape in found.items()]


class Cost(NamedTuple):
    """What one step costs on one device, by XLA's own analysis."""

    flops: float
    argument_bytes: int
    temporary_bytes: int


def step_cost(method: Method, *, image_shape: tuple[int, int, int], batch_size: int) -> Cost:
    """Compiles a step without running it and asks XLA for its cost.

    Args:
      method: the method, built for one device.
      image_shape: height, width and channels of an image.
      batch_size: images in the step.

    Returns:
      Floating-point operations, and the memory that the state and the batch, and the values in between, take.
    """
    abstract = jax.ShapeDtypeStruct
    key = jax.eval_shape(jax.random.key, 0)
    state = jax.eval_shape(method.init, key)
    index = abstract((batch_size,), jnp.int32)
    batch = Batch(abstract((batch_size, *image_shape), jnp.float32), index, index)
    lowered = jax.jit(method.step, donate_argnums=0).lower(state, batch, key)
    memory = lowered.compile().memory_analysis()
    return Cost(lowered.cost_analysis()["flops"], memory.argument_size_in_bytes, memory.temp_size_in_bytes)
