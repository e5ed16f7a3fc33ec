"""Logs that cost rows, not the run, when they cannot be written: lines of JSON, and TensorBoard events.

Both are written in the thread that trains: a writer's own thread that dies of a full disk would leave its queue full
and the run waiting for ever.
"""

import contextlib
import io
import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

FLUSH_SECONDS = 10  # between two times that events are put on disk

_log = logging.getLogger(__name__)


class Lines:
    """Rows appended to a file, one a line. Rows that cannot be written wait for the next one to be tried again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[Mapping[str, Any]] = []
        self._told = False

    def append(self, row: Mapping[str, Any]) -> None:
        """Writes a row and those that wait; the first failure is said."""
        self._waiting.append(row)
        try:
            _append(self._path, "".join(json.dumps(each) + "\n" for each in self._waiting).encode())
        except OSError as error:
            if not self._told:
                _log.warning("%s: cannot be written (%s); training goes on", self._path, error.strerror or error)
            self._told = True
        else:
            self._waiting.clear()

    def close(self) -> None:
        """Says which rows are lost."""
        if self._waiting:
            first, last = self._waiting[0]["step"], self._waiting[-1]["step"]
            _log.warning("%s: the rows of steps %d to %d are lost", self._path, first, last)


def _append(path: Path, content: bytes) -> None:
    """Appends all of the content or none of it."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while content:  # a disk that fills up takes a part, and fails when asked for more
                content = content[file.write(content) :]
        except OSError:
            with contextlib.suppress(OSError):  # it has no room for less either, if it is gone
                file.truncate(size)
            raise


class Events:
    """A file of TensorBoard events. After a failure, which is said, it writes nothing more."""

    def __init__(self, folder: Path, *, step: int) -> None:
        self._folder = folder
        self._writer: Any = None
        self._flushed = 0.0
        with self._told():
            self._open(step)

    def _open(self, step: int) -> None:
        # tensorboardX imports torch where that is installed, which takes seconds. Its EventsWriter would do for most of
        # this, but does not close a file that it cannot flush.
        from tensorboardX import writer
        from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.record_writer import RecordWriter

        self._folder.mkdir(parents=True, exist_ok=True)
        # A tracker that follows TensorBoard, such as wandb, has a class of its own here, which tells it the folder. It
        # reads files of this host, whose names have whole seconds.
        if writer.EventFileWriter.__module__ != "tensorboardX.event_file_writer":
            writer.EventFileWriter(str(self._folder.absolute())).close()
        seconds, micros = divmod(time.time_ns() // 1000, 10**6)
        name = f"events.out.tfevents.{seconds}.{socket.gethostname()}.{micros:06}"
        self._writer = RecordWriter(str(self._folder.absolute() / name))
        self._write(file_version="brain.Event:2")
        if step:  # hides what an earlier attempt wrote beyond
            self._write(session_log=SessionLog(status=SessionLog.START), step=step + 1)

    def _write(self, **fields: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def add(self, numbers: Mapping[str, float], *, step: int) -> None:
        """Adds a number to each curve."""
        if self._writer is None:
            return
        from tensorboardX.summary import scalar

        with self._told():
            for name, number in numbers.items():
                self._write(summary=scalar(name, number), step=step)
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._writer.flush()
                self._flushed = time.monotonic()

    def add_images(self, images: Mapping[str, bytes], *, step: int) -> None:
        """Adds pictures, each the content of a PNG file."""
        if self._writer is None:
            return
        from PIL import Image
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        with self._told():
            for name, content in images.items():
                picture = Image.open(io.BytesIO(content))
                shape = {"width": picture.width, "height": picture.height, "colorspace": len(picture.getbands())}
                image = Summary.Image(encoded_image_string=content, **shape)
                self._write(summary=Summary(value=[Summary.Value(tag=name, image=image)]), step=step)

    def add_histograms(self, values: Mapping[str, Float[np.ndarray, " n"]], *, step: int) -> None:
        """Adds histograms of the values that are finite."""
        if self._writer is None:
            return
        from tensorboardX.summary import histogram

        with self._told():
            for name, own in values.items():
                if len(finite := own[np.isfinite(own)]):
                    self._write(summary=histogram(name, finite, bins=30), step=step)

    def add_hyperparameters(self, values: Mapping[str, Any], *, metrics: Sequence[str]) -> None:
        """Names what was chosen for the run, beside which TensorBoard lists the last number of these curves."""
        if self._writer is None:
            return
        from tensorboardX.summary import hparams

        known = {name: x if isinstance(x, bool | int | float | str) else str(x) for name, x in values.items()}
        with self._told():
            for summary in hparams(known, dict.fromkeys(metrics)):
                self._write(summary=summary)

    def close(self) -> None:
        """Puts the events on disk."""
        if self._writer is not None:
            with self._told():
                self._writer.flush()
                self._writer.close()
            self._writer = None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Says why events cannot be written, and gives them up."""
        try:
            yield
        except OSError as error:
            writer, self._writer = self._writer, None
            _log.warning("%s: cannot be written (%s); training goes on", self._folder, error.strerror or error)
            if writer is not None:
                with contextlib.suppress(OSError):  # the file is closed even where it cannot be written
                    writer.close()
