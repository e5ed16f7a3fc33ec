"""Many processes as one run: how they agree before anything is written, and end together.

Each process runs the same command and the same Python; only the arrays are shared. Where it says "all", every process
must come to the call, in the same order. How they find one another is in ``meeting``.
"""

import contextlib
import dataclasses
import json
import os
import re
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax._src import distributed  # the key-value store of jax.distributed, which Orbax takes from here too
from jax.experimental import multihost_utils

from jaxgan.config import Config
from jaxgan.errors import UserError

T = TypeVar("T")

WAITING_SECONDS = 3600  # for a process that lives but prepares data or draws
OWN_FIELDS = {"process_index", "coordinator", "data_dir"}  # of a run; all others must be the same in all processes


def leads() -> bool:
    """Whether this process is the one that writes and prints."""
    return not jax.distributed.is_initialized() or distributed.global_state.process_id == 0


def exchange(topic: str, text: str = "") -> list[str]:
    """Gives a text to all processes, and waits for theirs; needs no device.

    Args:
      topic: a name that is used once in the life of a process.
      text: what this process has to say.

    Returns:
      The texts by process.
    """
    if not jax.distributed.is_initialized():
        return [text]
    state = distributed.global_state
    keys = [f"jaxgan/{topic}/{index}" for index in range(state.num_processes)]
    state.client.key_value_set(keys[state.process_id], text)
    return [state.client.blocking_key_value_get(key, WAITING_SECONDS * 1000) for key in keys]


def agree(number: int) -> int:
    """Takes the number that process 0 has in all processes: what follows from a clock or a folder may differ."""
    return number if jax.process_count() == 1 else int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def together(topic: str, work: Callable[[], T]) -> T:
    """Does in all processes what a mistake of the user may prevent in one, which then ends all, each in one line.

    Args:
      topic: a name that is used once in the life of a process.
      work: what to do.

    Returns:
      What it returns here.

    Raises:
      UserError: the mistake, with the number of the process where that is another one.
    """
    result, mistake = None, None
    try:
        result = work()
    except (UserError, OSError) as error:
        if not jax.distributed.is_initialized():
            raise
        mistake = error
    mistakes = exchange(topic, "" if mistake is None else str(mistake))
    if mistake is not None:
        raise mistake
    for index, words in enumerate(mistakes):
        if words:
            raise UserError(f"in process {index}, {words}")
    return result


def require_same_flags(config: Config) -> None:
    """Makes sure that all processes were given the same run.

    Args:
      config: what this one was given.

    Raises:
      UserError: naming the first flag that differs.
    """

    def flags(part: Any) -> dict[str, str]:
        return {f.name: str(getattr(part, f.name)) for f in dataclasses.fields(part) if f.name not in OWN_FIELDS}

    mine = {"kind": config.kind, **flags(config.method), **flags(config.run)}
    first, *others = map(json.loads, exchange("flags", json.dumps(mine)))
    for index, other in enumerate(others, start=1):
        for name in first.keys() & other.keys():
            if first[name] != other[name]:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(
                    f"{flag}: {other[name]} in process {index} but {first[name]} in process 0; give all the same"
                )


def require_shared(folder: Path, *, seconds: float = 5) -> None:
    """Makes sure that all processes see one folder, by a file that process 0 puts there for a moment.

    Args:
      folder: where checkpoints will lie.
      seconds: how long a network's file system may take to show a new file.

    Raises:
      UserError: if some process does not see the file.
    """
    name = exchange("mark", f".meeting-{secrets.token_hex(8)}")[0]
    if leads():
        (folder / name).touch()
    exchange("marked")
    deadline = time.monotonic() + seconds
    while not (seen := folder.is_dir() and name in os.listdir(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    blind = [index for index, answer in enumerate(exchange("seen", "yes" * seen)) if not answer]
    if leads():
        (folder / name).unlink()
    if blind:
        where = f"process {blind[0]} does not see what process 0 writes in {str(folder)!r}"
        raise UserError(f"--workdir: {where}; give a folder that all hosts share")


@contextlib.contextmanager
def end_at_once(program: str, *, common: tuple[type[Exception], ...], kept: Callable[[], str]) -> Iterator[None]:
    """Ends one process of many right where it fails, so that the others learn of it now and not after a time-out.

    A process that goes closes its connections, which fails the collectives of the others: at once where the network
    says so, as between CPUs. Otherwise, and when a process only hangs, JAX's coordinator misses it after
    ``meeting.SILENT_SECONDS`` and aborts the others, in words of its own and with exit code 134; so it does, at once,
    when process 0 is gone, which is the coordinator.

    Args:
      program: the name of the command.
      common: exceptions that all processes meet at the same step, and that need no hurry.
      kept: says what was saved.

    Yields:
      Nothing; what may fail goes on inside. A process that is alone fails as it would without.
    """
    try:
        yield
    except common:
        raise
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        place = distributed.global_state
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if re.match("[A-Z_]+: ", reason):  # a status of XLA's: jit raises it under several types
            lost = "out of memory" if "RESOURCE_EXHAUSTED" in reason else "another process or a device is gone"
            reason = f"{lost} ({reason})"
        elif not isinstance(error, OSError | KeyboardInterrupt):
            traceback.print_exc()
        advice = "when all have ended, run the same command on every host to go on"
        who = f"process {place.process_id} of {place.num_processes}"
        print(f"{program}: error: {who} stopped: {reason}; {kept()}; {advice}", file=sys.stderr, flush=True)
        if place.process_id == 0:
            time.sleep(1)  # without the coordinator JAX aborts the others before they have spoken
        os._exit(1)
