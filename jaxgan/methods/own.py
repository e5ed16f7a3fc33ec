"""A method that is code: networks, or functions, of one's own. Its config says no more than that."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxgan.errors import UserError
from jaxgan.methods.method import Method

OwnMethod = Method | Callable[..., Method]  # for one device; or what builds it, for any


@dataclass(frozen=True)
class Own:
    """A method that is code, and is given to each run as ``method=``."""

    title: str = "Own method"  # the name in figures

    compute_dtype = "float32"


def build(
    config: Any,
    method: OwnMethod | None = None,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    **ignored: Any,
) -> Method:
    """Takes the method that a program gives, or has it built; see :func:`jaxgan.methods.build`.

    Raises:
      UserError: if there is none, the config describes another, or it is not built for these devices.
    """
    if type(config) is not Own:
        raise UserError(
            f"method=: the config describes {config.title} already; leave one out, Config(run=...) has none"
        )
    if callable(method):
        how = {"image_shape": image_shape, "classes": classes, "axis_name": axis_name, "accumulate": accumulate}
        try:
            inspect.signature(method).bind(**how)
        except TypeError as error:
            raise UserError(f"method=: it must take the keywords {', '.join(how)} ({error})") from error
        method = method(**how)
    elif method is None:
        raise UserError(
            "method=: this run's method is code, so no command can build it; in Python give it to jaxgan.run(config, "
            "method=...), jaxgan.load_run(workdir, method=...) or jaxgan.evaluate_run(workdir, method=...)"
        )
    elif axis_name or accumulate > 1:
        field = "--devices: more than 1 shares" if axis_name else f"--accumulate: {accumulate} splits"
        way_out = "a function (image_shape, classes, axis_name, accumulate) that builds it"
        raise UserError(f"{field} a batch, for which a method must be built; give method= {way_out}")
    if not isinstance(method, Method):
        raise UserError(f"method=: {type(method).__name__} is not allowed, it must be a Method, or a function to one")
    return method
