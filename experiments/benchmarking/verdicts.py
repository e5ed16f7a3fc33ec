"""Whether what a benchmark found is what was required."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarking.rates import CROWDED, Results, crowding, ratios, title


class Verdict(NamedTuple):
    """One requirement, with what was measured."""

    text: str
    met: bool


def ratio_required(by_threads: Sequence[float], threads: int) -> float:
    """The least ratio on so many threads, of those for one, for two, and so on; the last holds for all more."""
    return by_threads[min(threads, len(by_threads)) - 1]


def verdicts(
    results: Results,
    *,
    required: Mapping[str, Mapping[str, Sequence[float]]],
    ours: str,
    start_limits: Mapping[str, float],
) -> tuple[list[Verdict], list[Verdict]]:
    """Holds the results against what is required.

    Args:
      results: what was measured.
      required: least ratios, by case, competitor and number of threads (see :func:`ratio_required`).
      ours: the competitor that must be faster.
      start_limits: most seconds to the first step, by kind of start.

    Returns:
      The verdicts on ratios, and those on starts; what could not be measured, or not undisturbed, is not met.
    """
    on_ratios, on_starts = [], []
    for comparison in results["comparisons"]:
        measured = ratios(comparison, ours=ours)
        for name, by_threads in required[comparison["case"]].items():
            least = ratio_required(by_threads, comparison["threads"])
            what = f"{title(comparison)}: at least {least:g} times {name}"
            crowd = max(crowding(comparison, n) for n in {ours, name} & measured.keys())
            if crowd > CROWDED:
                text = f"{what}: not judged, other programs took {crowd:.1f} of its CPUs; repeat it on an idle machine"
                on_ratios.append(_verdict(text, False))
            elif name in measured:
                on_ratios.append(_verdict(f"{what}: {measured[name]:.2f} times", measured[name] >= least))
            else:
                on_ratios.append(_verdict(f"{what}: not measured ({comparison['absent'].get(name)})", False))
    for kind, most in start_limits.items():
        if times := results["starts"][kind]:
            median = statistics.median(times)
            spread = f"{min(times):.1f} to {max(times):.1f}"
            what = f"first training step, {kind} compilation cache: at most {most:g} s: {median:.1f} s ({spread})"
            on_starts.append(_verdict(what, median <= most))
    return on_ratios, on_starts


def loop_verdicts(overhead: Results | None, *, most: float) -> list[Verdict]:
    """Holds what the training loop costs, and its memory, against what is required.

    Args:
      overhead: what :func:`overhead.measure` found; None if it was left out.
      most: the share of a call's time that the host may take.

    Returns:
      The verdicts.
    """
    if overhead is None:
        return []
    share, looks = overhead["share"], overhead["memory"]
    what = f"{title(overhead)}: the host takes at most {most:.0%} of a call's time: {share:.2%}"
    flat = len({(look["arrays"], look["bytes"]) for look in looks}) == 1
    memory = f"{title(overhead)}: as many arrays and bytes on the device at step {looks[-1]['step']:,} as at "
    return [_verdict(what, share <= most), _verdict(f"{memory}{looks[0]['step']:,}", flat)]


def _verdict(text: str, met: bool) -> Verdict:
    return Verdict(f"{'met' if met else 'NOT met'}: {text}", bool(met))
