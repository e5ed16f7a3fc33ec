"""The checkpoint that is best by a metric of samples, beside those that a run goes on from."""

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
    """Opens the folder of the best checkpoint by a metric of samples; a new one must beat the one that is there.

    A checkpoint of a step that is yet to come, which a crash left, was best then and will be again: it stays until a
    later one is better.

    Args:
      folder: the run's. Its rows of metrics end where the run goes on.
      run: which metric counts.

    Yields:
      A function of each row of metrics, the carry that it describes and its step, which every process calls; the main
      process decides.
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
            checkpoints.set_aside(folder.best / str(kept), str(damage), then="the best checkpoint from here on is kept")
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
