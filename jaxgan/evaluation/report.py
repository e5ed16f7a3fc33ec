"""The report of an evaluation: a table, and JSON with everything that the numbers depend on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from jaxgan.evaluation.protocol import COMPARED_PIXELWISE, Number

# The label of each metric, with an arrow towards better values.
LABELS = {
    "frechet_distance": "Fréchet distance ↓",
    "kernel_distance": "kernel distance ↓",
    "kernel_distance_error": "  its standard error over subsets",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "density": "density ↑",
    "coverage": "coverage ↑",
    "classifier_score": "classifier score ↑",
    "confident_fraction": "share of confident predictions ↑",
    "requested_class_accuracy": "share of the requested class ↑",
    "class_frechet_distance": "mean Fréchet distance within classes ↓",
    "class_balance": "KL of predicted classes from the data's ↓, nats",
    "largest_share_error": "largest relative error of a class's share ↓",
    "nearest_training_distance": "distance to the nearest training image",
    "test_loss": "loss on the test images ↓",
    "test_squared_error": "squared error of restored test images ↓",
    "test_cross_entropy": "cross-entropy of restored test images ↓, nats",
    "test_negative_elbo": "negative ELBO of the test images ↓, nats",
    "test_reconstruction": "  its reconstruction term",
    "test_kl_divergence": "  its KL divergence",
    "test_importance_weighted_nll": "importance-weighted NLL of the test images ↓, nats",
}

BY_REPLICA = ("frechet_distance", "precision", "recall", "coverage")


@dataclass(frozen=True)
class Protocol:
    """Everything that the results of an evaluation depend on, except its subject."""

    data: str
    features: str  # version of the feature network; results of two versions are not comparable
    n_real: int  # test images
    n_fake: int
    seeds: tuple[int, ...]
    floor: str  # description of the floor's images
    importance_samples: int | None = None  # latents per image of the importance-weighted NLL
    floor_labels: bool = False  # whether samples have the labels of the floor's images


@dataclass(frozen=True)
class Evaluation:
    """The subject, the protocol and the results of an evaluation."""

    subject: Mapping[str, Any]
    protocol: Protocol
    metrics: Mapping[str, Number]  # over seeds, or over replicas if there are any
    versions: Mapping[str, str]
    replicas: Sequence[Mapping[str, Any]] = ()  # number, seed, swept fields and metrics of each replica

    def to_json(self) -> str:
        """The evaluation as JSON."""
        tree = asdict(self) | {"metrics": {name: number._asdict() for name, number in self.metrics.items()}}
        if not self.replicas:
            del tree["replicas"]
        return json.dumps(tree, indent=2) + "\n"


def from_json(text: str) -> Evaluation:
    """Reads an evaluation back from JSON.

    Args:
      text: output of :meth:`Evaluation.to_json`.

    Returns:
      The evaluation.

    Raises:
      ValueError: if the text is not the JSON of an evaluation.
    """
    try:
        tree = json.loads(text)
        tree["metrics"] = {name: Number(**number) for name, number in tree["metrics"].items()}
        return Evaluation(**tree | {"protocol": Protocol(**tree["protocol"])})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an evaluation ({error!r})") from error


def table(evaluation: Evaluation) -> Table:
    """Makes a table of an evaluation.

    Args:
      evaluation: the results.

    Returns:
      The table, with the protocol under it.
    """
    p = evaluation.protocol
    compared = min(COMPARED_PIXELWISE, p.n_fake)
    seeds = f"seed {p.seeds[0]}" if len(p.seeds) == 1 else f"seeds {', '.join(map(str, p.seeds))}"
    if evaluation.replicas:
        seeds += f" of each of {len(evaluation.replicas)} replicas: mean ± deviation over replicas"
    elif len(p.seeds) > 1:
        seeds += ": mean ± deviation"
    caption = (
        f"{p.n_fake:,} samples ({seeds}) against {p.n_real:,} test images of {p.data}, with the features {p.features}. "
        f"Floor: {p.floor}. The distance to the nearest training image is a mean over {compared:,} samples, its floor "
        "a mean over as many test images. ↑ higher is better, ↓ lower is better."
    )
    if p.floor_labels:
        caption += " Samples have the labels of the floor's images."
    if p.importance_samples:
        caption += f" The importance-weighted NLL uses {p.importance_samples} latents per image."
    grid = Table("metric", title=_title(evaluation.subject), caption=caption, box=box.SIMPLE, title_justify="left")
    grid.caption_justify = "left"
    grid.add_column("samples", justify="right")
    grid.add_column("floor", justify="right")
    for name, number in sorted(evaluation.metrics.items(), key=lambda item: _position(item[0])):
        label = LABELS.get(name) or _label(name)
        floor = "" if number.floor is None else f"{number.floor:.4g}"
        grid.add_row(label, _text(number), floor)
    return grid


def replica_table(evaluation: Evaluation) -> Table:
    """Makes a table of the replicas of a run, one row per replica; see :func:`table`."""
    identity = [name for name in evaluation.replicas[0] if name != "metrics"]
    grid = Table(*identity, title="Each replica", box=box.SIMPLE, title_justify="left")
    shown = [name for name in BY_REPLICA if name in evaluation.metrics]  # pixels give fewer metrics
    for name in shown:
        grid.add_column(LABELS[name], justify="right")
    for replica in evaluation.replicas:
        values = [replica["metrics"][name] for name in shown]
        grid.add_row(*(f"{replica[name]:g}" for name in identity), *(f"{value:.4g}" for value in values))
    return grid


def _position(name: str) -> int:
    """The position of a metric in the table: the order of :data:`LABELS`, then all others."""
    return list(LABELS).index(name) if name in LABELS else len(LABELS)


def _label(name: str) -> str:
    """The label of a metric that is not in :data:`LABELS`: one of a class, or a metric of the method."""
    for start, label in {"share_": "  share of ", "frechet_distance_": "  within class "}.items():
        if name.startswith(start):
            return label + escape(name.removeprefix(start))
    return name.replace("_", " ")


def _title(subject: Mapping[str, Any]) -> str:
    if "samples" in subject:
        return escape(f"Samples in {subject['samples']}")
    state = f"{subject['checkpoint']} checkpoint, {subject['parameters']} parameters"
    state += f", replica {subject['replica']}" if "replica" in subject else ""
    return escape(f"{subject['workdir']}: {subject['method']} after epoch {subject['epoch']:g}, {state}")


def _text(number: Number) -> str:
    """A number with its deviation, to four digits."""
    return f"{number.mean:.4g}" + ("" if number.deviation is None else f" ± {number.deviation:.2g}")
