"""A function with no choice of platform left in it, for formats that know of none."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import Jaxpr, Literal

# Primitives that only stand for the program inside of them, and what they call it.
CALLS = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


def portable(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Takes the default branch wherever a function computes in another form on one platform than on others.

    ``jax.lax.platform_dependent`` is settled when a program is lowered for a platform. A converter that reads the
    program before has no platform to ask for.

    Args:
      function: from arrays to one array.

    Returns:
      The same function up to rounding, evaluated primitive by primitive of its traced program.
    """

    def run(*args: jax.Array) -> jax.Array:
        traced = jax.make_jaxpr(function)(*args)
        (result,) = _evaluate(traced.jaxpr, traced.consts, args)
        return result

    return run


def _evaluate(program: Jaxpr, constants: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    values = dict(zip([*program.constvars, *program.invars], [*constants, *args], strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in program.eqns:
        given, params = [read(variable) for variable in equation.invars], equation.params
        match equation.primitive.name:
            case "platform_index":
                results = [params["platforms"].index(None)]
            case "cond" if isinstance(given[0], int):
                branch = params["branches"][given[0]]
                results = _evaluate(branch.jaxpr, branch.consts, given[1:])
            case name if name in CALLS:
                inner = params[CALLS[name]]
                results = _evaluate(inner.jaxpr, inner.consts, given)
            case _:
                results = equation.primitive.bind(*given, **equation.primitive.get_bind_params(params))
                results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in program.outvars]
