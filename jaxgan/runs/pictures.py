"""What a run remembers of images that no catalog describes."""

import json
from typing import NamedTuple

from jaxgan.data import Dataset, Stream
from jaxgan.errors import UserError
from jaxgan.runs.workdir import Workdir, write_atomically


class Pictures(NamedTuple):
    """One's own pictures, as far as a method depends on them."""

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    fingerprint: str  # changes when a picture does


def remember(workdir: Workdir, dataset: Dataset | Stream) -> None:
    """Writes down what a run trains on, if that is in no catalog."""
    if dataset.fingerprint:
        about = Pictures(dataset.image_shape, dataset.class_names, dataset.fingerprint)
        write_atomically(workdir.data, json.dumps(about._asdict(), indent=2) + "\n")


def recall(workdir: Workdir) -> Pictures | None:
    """Reads what a run remembers of its pictures; None if they are those of the catalog.

    Raises:
      UserError: if the file is damaged.
    """
    try:
        shape, names, fingerprint = json.loads(workdir.data.read_text()).values()
        height, width, channels = map(int, shape)
        return Pictures((height, width, channels), tuple(map(str, names)), str(fingerprint))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"--workdir: {str(workdir.data)!r} cannot be read ({error})") from error


def missing(workdir: Workdir) -> UserError:
    """The error for a run on one's own pictures that remembers none."""
    lost = "is missing, which describes the images of the run; put it back"
    return UserError(f"--workdir: {str(workdir.data)!r} {lost}")


def require_same(workdir: Workdir, dataset: Dataset | Stream, *, name: str) -> None:
    """Refuses to go on with other pictures than a run began with.

    Raises:
      UserError: if one was added, removed or changed, or the run does not remember its own.
    """
    known = recall(workdir)
    if known is None and dataset.fingerprint:
        raise missing(workdir)
    if known and known.fingerprint != dataset.fingerprint:
        raise UserError(
            f"--data: {name!r} has changed since the run in {str(workdir.root)!r} began; give another --workdir, or "
            "--resume never to replace it"
        )
