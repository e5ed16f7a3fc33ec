"""Keeps the best checkpoint by a metric of samples, beside the newest ones, from which a run resumes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from jaxgan.config import Run
from jaxgan.runs import checkpoints, tracking
from jaxgan.runs.digests import Damage
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime import distributed
from jaxgan.runtime.program import Carry

LESS_IS_BETTER = frozenset({"frechet_distance", "kernel_distance"})


@contextmanager
def keep_best(folder: Workdir, run: Run) -> Iterator[Callable[[Mapping[str, float], Carry, int], None]]:
    """Opens the folder of the best checkpoint by a metric of samples; a new checkpoint must beat the existing one.

    After a crash, the best checkpoint may be of a later step than the one the run resumes from. The run will reproduce
    it, so it stays until a still later one is better.

    Args:
      folder: the working directory. Its rows of metrics end at the step from which the run resumes.
      run: names the metric.

    Yields:
      A function that every process calls with each row of metrics, its carry and its step; the main process decides.
    """
    if run.keep_best == "none":
        yield lambda row, carry, step: None
        return
    sign = -1 if run.keep_best in LESS_IS_BETTER else 1
    kept = checkpoints.latest_step(folder.best)
    if kept is not None:
        try:
            checkpoints.verify(folder.best / str(kept))
        except Damage as damage:
            checkpoints.set_aside(folder.best / str(kept), str(damage), then="the best checkpoint from now on is kept")
            kept = None
    before = [row for row in tracking.read_rows(folder.metrics) if row["step"] == kept]
    bar = max((sign * row[run.keep_best] for row in before if run.keep_best in row), default=-float("inf"))
    with checkpoints.checkpoint_manager(folder.best, kept=1, shared=run.mirror is None) as manager:

        def offer(row: Mapping[str, float], carry: Carry, step: int) -> None:
            nonlocal bar
            value = sign * row.get(run.keep_best, float("nan"))
            if distributed.broadcast_from_main(int(value > bar)):
                bar = value
                checkpoints.save(manager, carry, step=step)

        yield offer
