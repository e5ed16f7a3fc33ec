"""Records of training images that are not in the catalog: the user's pictures, and arrays of a program."""

import json
import logging
from typing import NamedTuple

from jaxgan.data import Dataset, Stream
from jaxgan.errors import UserError
from jaxgan.runs.workdir import Workdir, write_atomically

_log = logging.getLogger(__name__)


class Pictures(NamedTuple):
    """What a run depends on in pictures that are not in the catalog."""

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    fingerprint: str  # changes when a picture does


def remember(workdir: Workdir, dataset: Dataset | Stream) -> None:
    """Records the training images of a run, if they are not in the catalog."""
    if dataset.fingerprint:
        about = Pictures(dataset.image_shape, dataset.class_names, dataset.fingerprint)
        write_atomically(workdir.data, json.dumps(about._asdict(), indent=2) + "\n")


def recall(workdir: Workdir) -> Pictures | None:
    """Reads the record of a run's pictures; None if they are in the catalog.

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
    """Refuses to resume with other pictures than the run started with.

    Raises:
      UserError: if a picture was added, removed or changed, or the description of the run's images is missing.
    """
    recorded = recall(workdir)
    if recorded is None and dataset.fingerprint:
        raise missing(workdir)
    if recorded and recorded != (dataset.image_shape, dataset.class_names, dataset.fingerprint):
        raise UserError(
            f"--data: {name!r} has changed since the run in {str(workdir.root)!r} started; give another --workdir, or "
            "--resume never to replace it"
        )


def require_alike(workdir: Workdir, dataset: Dataset, *, name: str) -> None:
    """Refuses images of other classes or another shape than those of a run, and warns of changed images.

    Raises:
      UserError: if the classes or the shape have changed.
    """
    recorded = recall(workdir)
    if recorded is None or recorded.fingerprint == dataset.fingerprint:
        return
    changed = f"--data: {name!r} has changed since the run in {str(workdir.root)!r} started"
    now = dataset.image_shape, dataset.class_names
    if now != (recorded.image_shape, recorded.class_names):
        before, after = (f"{' x '.join(map(str, x))} pixels in {len(y)} classes" for x, y in (recorded[:2], now))
        raise UserError(f"{changed}, from {before} to {after} or of other names; put its images back")
    _log.warning("%s; its images are used as they are now", changed)
