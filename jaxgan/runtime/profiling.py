"""A trace of some steps of a run, for TensorBoard and Perfetto."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import jax

Recorded = Callable[[int, int], contextlib.AbstractContextManager[None]]

_log = logging.getLogger("jaxgan.runtime")


@contextlib.contextmanager
def recorder(folder: Path, steps: range, *, step: int) -> Iterator[Recorded]:
    """Records what a run does in some of its steps, and writes the trace when they are done or the run fails.

    Args:
      folder: where the trace goes, beside those of earlier attempts.
      steps: which steps; none if empty. Of a run that goes on in the midst of them, the rest.
      step: where the run stands.

    Yields:
      A function from the first step of a call, and the step it stops before, to the context to make the call in. In the
      trace each call is named after its first step. The calls must start and stop where ``steps`` do.
    """
    if steps and step >= steps.stop:
        _log.warning("--profile: nothing is traced, the run stands at step %d already", step)
    traced = False
    with contextlib.ExitStack() as trace:

        @contextlib.contextmanager
        def recorded(start: int, stop: int) -> Iterator[None]:
            nonlocal traced
            if start not in steps:
                yield
                return
            if not traced:
                trace.enter_context(jax.profiler.trace(folder))
                traced = True
            with jax.profiler.StepTraceAnnotation("train", step_num=start, stop=stop):
                yield
            if stop == steps.stop:
                trace.close()

        yield recorded
