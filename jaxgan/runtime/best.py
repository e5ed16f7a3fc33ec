"""The best checkpoint of a run, by a metric of its samples."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from jaxgan.config import Run
from jaxgan.runtime import checkpoints, processes, tracking
from jaxgan.runtime.program import Carry
from jaxgan.runtime.workdir import Workdir

LESS_IS_BETTER = frozenset({"frechet_distance", "kernel_distance"})

Offer = Callable[[Mapping[str, float], Carry, int], None]


@contextmanager
def keeper(folder: Workdir, run: Run) -> Iterator[Offer]:
    """Opens the folder of the best checkpoint; what has to be beaten is the one that is in it.

    A checkpoint of a step that is yet to come, which a crash left, was best then and will be again: it stays until a
    later one is better.

    Args:
      folder: the run's. Its rows of metrics end where the run goes on.
      run: which metric counts.

    Yields:
      A function to be given each row of metrics, the carry that they are of and its step. Of many processes all call
      it; the first one decides.
    """
    if run.keep_best == "none":
        yield lambda row, carry, step: None
        return
    sign = -1 if run.keep_best in LESS_IS_BETTER else 1
    kept = checkpoints.latest_step(folder.best)
    before = [row for row in tracking.read_rows(folder.metrics) if row["step"] == kept]
    bar = max((sign * row[run.keep_best] for row in before if run.keep_best in row), default=-float("inf"))
    with checkpoints.checkpoint_manager(folder.best, kept=1) as manager:

        def offer(row: Mapping[str, float], carry: Carry, step: int) -> None:
            nonlocal bar
            value = sign * row.get(run.keep_best, float("nan"))
            if processes.agree(int(value > bar)):
                bar = value
                checkpoints.save(manager, carry, step=step)

        yield offer
