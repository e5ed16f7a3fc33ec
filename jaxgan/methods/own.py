"""A method that is defined in Python code, from your own networks or functions; its config only says so."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxgan.errors import UserError
from jaxgan.methods.method import Method

OwnMethod = Method | Callable[..., Method]  # a method for one device, or a function that builds it for any number


@dataclass(frozen=True)
class Own:
    """A method that is defined in Python code and passed to each run as ``method=``."""

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
    """Returns the method that a program passes, or builds it; see :func:`jaxgan.methods.build`.

    Raises:
      UserError: if there is no method, the config describes another, or it cannot split a batch.
    """
    if type(config) is not Own:
        raise UserError(
            f"method=: the config already describes {config.title}; omit one of them, Config(run=...) has no method"
        )
    if callable(method):
        keywords = {"image_shape": image_shape, "classes": classes, "axis_name": axis_name, "accumulate": accumulate}
        try:
            inspect.signature(method).bind(**keywords)
        except TypeError as error:
            raise UserError(f"method=: it must take the keywords {', '.join(keywords)} ({error})") from error
        method = method(**keywords)
    elif method is None:
        raise UserError(
            "method=: this run's method is code, so no command can build it; in Python pass it to jaxgan.run(config, "
            "method=...), jaxgan.load_run(workdir, method=...) or jaxgan.evaluate_run(workdir, method=...)"
        )
    elif axis_name or accumulate > 1:
        field = "--devices: more than 1 splits" if axis_name else f"--accumulate: {accumulate} splits"
        builder = "a function (image_shape, classes, axis_name, accumulate) that builds it"
        raise UserError(f"{field} a batch, which a method must be built for; pass method= {builder}")
    if not isinstance(method, Method):
        raise UserError(f"method=: {type(method).__name__} is not allowed, it must be a Method or build one")
    return method
