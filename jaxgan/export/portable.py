"""Removes platform-dependent branches from functions, for formats without platforms."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Primitives that call an inner jaxpr, and the parameter that holds it.
CALLS = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


def portable(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Replaces each platform-dependent branch in a function by its default.

    JAX resolves ``jax.lax.platform_dependent`` when it lowers a program for a platform. A converter reads the jaxpr
    before that.

    Args:
      function: from arrays to one array.

    Returns:
      The same function up to rounding. It evaluates the jaxpr one primitive at a time.
    """

    def run(*args: jax.Array) -> jax.Array:
        traced = jax.make_jaxpr(function)(*args)
        (result,) = _evaluate(traced.jaxpr, traced.consts, args)
        return result

    return run


def _portable_loop(value: Any) -> Any:
    """Replaces the branches in a jaxpr that is a parameter of a primitive, such as the body of a loop."""
    if not isinstance(value, ClosedJaxpr):
        return value
    return jax.make_jaxpr(lambda *args: _evaluate(value.jaxpr, value.consts, args))(*value.in_avals)


def _evaluate(program: Jaxpr, constants: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    values = dict(zip([*program.constvars, *program.invars], [*constants, *args], strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in program.eqns:
        inputs, params = [read(variable) for variable in equation.invars], equation.params
        match equation.primitive.name:
            case "platform_index":
                results = [params["platforms"].index(None)]
            case "cond" if isinstance(inputs[0], int):
                branch = params["branches"][inputs[0]]
                results = _evaluate(branch.jaxpr, branch.consts, inputs[1:])
            case name if name in CALLS:
                inner = params[CALLS[name]]
                results = _evaluate(inner.jaxpr, inner.consts, inputs)
            case _:
                params = {name: _portable_loop(value) for name, value in params.items()}
                results = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(params))
                results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in program.outvars]
