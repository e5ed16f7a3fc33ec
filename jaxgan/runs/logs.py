"""Logs that lose rows, rather than end the run, if they cannot be written: JSON lines and TensorBoard events.

Both are written in the training thread: if a writer thread died of a full disk, its queue would fill up and the run
would wait forever.
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

FLUSH_SECONDS = 10  # between flushes of events to disk

_log = logging.getLogger(__name__)


class Lines:
    """Appends rows to a JSON lines file. Rows that cannot be written are retried with the next one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[Mapping[str, Any]] = []
        self._warned = False

    def append(self, row: Mapping[str, Any]) -> None:
        """Writes a row and the pending ones; warns of the first failure."""
        self._pending.append(row)
        try:
            _append(self._path, "".join(json.dumps(pending) + "\n" for pending in self._pending).encode())
        except OSError as error:
            if not self._warned:
                _log.warning("%s: cannot be written (%s); training continues", self._path, error.strerror or error)
            self._warned = True
        else:
            self._pending.clear()

    def close(self) -> None:
        """Warns of rows that are lost."""
        if self._pending:
            first, last = self._pending[0]["step"], self._pending[-1]["step"]
            _log.warning("%s: the rows of steps %d to %d are lost", self._path, first, last)


def _append(path: Path, content: bytes) -> None:
    """Appends all of the content or none of it."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while content:  # a disk that fills up takes a part, and fails at the next write
                content = content[file.write(content) :]
        except OSError:
            with contextlib.suppress(OSError):  # a disk that is gone fails here, too
                file.truncate(size)
            raise


class Events:
    """A file of TensorBoard events. After a failure it warns, and writes nothing more."""

    def __init__(self, folder: Path, *, step: int) -> None:
        self._folder = folder
        self._writer: Any = None
        self._flushed = 0.0
        with self._disabled_on_failure():
            self._open(step)

    def _open(self, step: int) -> None:
        # tensorboardX imports torch if it is installed, which takes seconds. Its EventsWriter is not used, as it does
        # not close a file that it cannot flush.
        from tensorboardX import writer
        from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.record_writer import RecordWriter

        self._folder.mkdir(parents=True, exist_ok=True)
        # A tracker that syncs TensorBoard, such as wandb, replaces this class to learn the folder. It reads files of
        # this host, whose names have whole seconds.
        if writer.EventFileWriter.__module__ != "tensorboardX.event_file_writer":
            writer.EventFileWriter(str(self._folder.absolute())).close()
        seconds, micros = divmod(time.time_ns() // 1000, 10**6)
        # TensorBoard reads files by name: after earlier attempts, even if the clock went back since.
        earlier = (path.name.split(".")[3] for path in self._folder.glob("events.out.tfevents.*.*"))
        seconds = max([seconds, *(int(stamp) + 1 for stamp in earlier if stamp.isdecimal())])
        name = f"events.out.tfevents.{seconds}.{socket.gethostname()}.{micros:06}"
        self._writer = RecordWriter(str(self._folder.absolute() / name))
        self._write(file_version="brain.Event:2")
        if step:  # hides what an earlier attempt wrote beyond this step
            self._write(session_log=SessionLog(status=SessionLog.START), step=step + 1)

    def _write(self, **fields: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def add(self, numbers: Mapping[str, float], *, step: int) -> None:
        """Adds a number to each curve."""
        if self._writer is None:
            return
        from tensorboardX.summary import scalar

        with self._disabled_on_failure():
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

        with self._disabled_on_failure():
            for name, content in images.items():
                picture = Image.open(io.BytesIO(content))
                shape = {"width": picture.width, "height": picture.height, "colorspace": len(picture.getbands())}
                image = Summary.Image(encoded_image_string=content, **shape)
                self._write(summary=Summary(value=[Summary.Value(tag=name, image=image)]), step=step)

    def add_histograms(self, values: Mapping[str, Float[np.ndarray, " n"]], *, step: int) -> None:
        """Adds histograms of the finite values."""
        if self._writer is None:
            return
        from tensorboardX.summary import histogram

        with self._disabled_on_failure():
            for name, numbers in values.items():
                if len(finite := numbers[np.isfinite(numbers)]):
                    self._write(summary=histogram(name, finite, bins=30), step=step)

    def add_hyperparameters(self, values: Mapping[str, Any], *, metrics: Sequence[str]) -> None:
        """Adds hyperparameters, beside which TensorBoard lists the last values of these metrics."""
        if self._writer is None:
            return
        from tensorboardX.summary import hparams

        plain = {name: x if isinstance(x, bool | int | float | str) else str(x) for name, x in values.items()}
        with self._disabled_on_failure():
            for summary in hparams(plain, dict.fromkeys(metrics)):
                self._write(summary=summary)

    def close(self) -> None:
        """Flushes the events to disk and closes the file."""
        if self._writer is not None:
            with self._disabled_on_failure():
                self._writer.flush()
                self._writer.close()
            self._writer = None

    @contextlib.contextmanager
    def _disabled_on_failure(self) -> Iterator[None]:
        """Warns if events cannot be written inside, and writes no more of them."""
        try:
            yield
        except OSError as error:
            writer, self._writer = self._writer, None
            _log.warning("%s: cannot be written (%s); training continues", self._folder, error.strerror or error)
            if writer is not None:
                with contextlib.suppress(OSError):  # this closes the file even if it cannot be written
                    writer.close()
