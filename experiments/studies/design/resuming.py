"""The items that a checkpoint needs for an exact resume, in each design.

Training stops in the middle of its second epoch. A new program resumes from the state, complete or without one item,
and its final state is compared with an uninterrupted run.
"""

import contextlib
import copy
import io
import math
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx as flax_nnx
from imperative import nnx_dcgan, nnx_training, nnx_vanilla_gan, training
from imperative.requirements import torch
from imperative.twins import twin_of
from studies import markdown
from studies.design.hazards import FUNCTIONAL, IMPERATIVE

from jaxgan import data
from jaxgan.config import Config
from jaxgan.data.order import epoch_order
from jaxgan.methods import build
from jaxgan.methods.dcgan import DCGAN
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runtime.program import Inputs, compile_program

NNX = "imperative NNX"
EPOCH, STOP, END = 10, 15, 19  # steps; within an epoch, metrics are running sums
SEED = 0
NNX_TWINS = {VanillaGAN: nnx_vanilla_gan.VanillaGAN, DCGAN: nnx_dcgan.DCGAN}

PARAMETERS, STATISTICS, OPTIMIZERS = "parameters", "batch statistics", "optimizer state"
SETTINGS, STEP, RANDOM, ORDER = "settings", "step", "random state", "order of the data"
AVERAGED, SUMS = "averaged parameters", "sums of metrics"
ITEMS = {  # items of a checkpoint, with patterns for the paths of their arrays; the first match counts
    SETTINGS: r"\['options'\]",
    RANDOM: r"rngs|\['random'\]",
    ORDER: r"\['shuffler'\]",
    OPTIMIZERS: r"opt_state|optimizer",
    AVERAGED: r"averaged",
    SUMS: r"sums|\.count",
    STATISTICS: r"batch_stats|running_|num_batches|\['mean'\]|\['var'\]",
    STEP: r"\.step|^\['step'\]",
    PARAMETERS: r"",
}

State = Any  # what a design saves: nested containers of arrays
Advance = Callable[[State | None, int], State]  # trains from a state (None: the start) to a step
Measured = dict[str, Any]


def functional(config: Config, images: np.ndarray) -> Advance:
    """The functional design: the state is a single value, passed from call to call."""
    batch_size, shape = config.run.batch_size, images.shape[1:]
    method = build(config.method, image_shape=shape)
    program = compile_program(method, jax.devices()[:1], image_shape=shape, batch_size=batch_size)

    def advance(state: State | None, stop: int) -> State:
        carry = program.init(np.uint32(SEED)) if state is None else jax.tree.map(jnp.asarray, state)
        while (step := int(carry.state.step)) < stop:
            epoch, labels = step // EPOCH, np.zeros(len(images), np.int32)
            order = epoch_order(len(images), seed=SEED, epoch=epoch)
            last = np.int32(min(stop, (epoch + 1) * EPOCH))
            carry = program.train_steps(carry, Inputs(images, labels, order, np.uint32(SEED), last))
            if last % EPOCH == 0:
                carry = program.reset_metrics(carry)
        return jax.device_get(carry)

    return advance


def pytorch(config: Config, images: np.ndarray) -> Advance:
    """The PyTorch twin: the state is collected from several objects, and restored into them."""

    def advance(state: State | None, stop: int) -> State:
        torch.manual_seed(SEED if state is None else SEED + 1)  # a new process has another random state
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            options = training.Options(Path(folder), epochs=END, steps=stop, batch_size=config.run.batch_size)
            run = training.Training(twin_of(config.method), training.on_device(images, "cpu"), options)
            if state is not None:
                run.load_state_dict(copy.deepcopy(state))
            if stop:
                run.run()
        return copy.deepcopy(run.state_dict())

    return advance


def nnx(config: Config, images: np.ndarray) -> Advance:
    """The NNX twin: one object holds almost all state. It is compiled once, and its state is replaced."""
    twin = NNX_TWINS[type(config.method)](seed=SEED)
    start = nnx_training.Training(twin, images, nnx_training.Options(Path(), batch_size=config.run.batch_size)).state()

    def advance(state: State | None, stop: int) -> State:
        state = start if state is None else state
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            options = nnx_training.Options(Path(folder), epochs=END, steps=stop, batch_size=config.run.batch_size)
            run = nnx_training.Training(twin, images, options)
            flax_nnx.update(twin, state["twin"])
            run.step = state["step"]
            run.start_epoch()
            run.sums = dict(state["sums"])
            if stop:
                run.run(SimpleNamespace(save=lambda *args, **items: None))
        return run.state()

    return advance


DESIGNS = {FUNCTIONAL: functional, IMPERATIVE: pytorch, NNX: nnx}


def measure(configs: Mapping[str, Config], *, data_dir: Path | None) -> dict[str, dict[str, Measured]]:
    """Stops and resumes every method in all of its designs; returns the results of :func:`compare`."""
    torch.set_num_threads(1)
    found: dict[str, dict[str, Measured]] = {}
    for method, config in configs.items():
        images = data.load(config.run.data, data_dir=data_dir).images[: EPOCH * config.run.batch_size]
        designs = [design for design in DESIGNS if design != NNX or type(config.method) in NNX_TWINS]
        found[method] = {design: compare(DESIGNS[design](config, images)) for design in designs}
    return found


def compare(advance: Advance) -> Measured:
    """Compares resumed runs with an uninterrupted run.

    Returns:
      ``bytes``, the size of each item in the saved state; ``resumed``, the items that differ in any byte after an exact
      resume; and ``without``, by reset item: ``differs``, the items that differ, and ``weights``, the relative norm of
      the difference of all parameters.
    """
    fresh, middle, whole = advance(None, 0), advance(None, STOP), advance(None, END)
    saved = by_item(middle)
    ends = {item: advance(leave_out(middle, fresh, item), END) for item in saved if item != PARAMETERS}
    return {
        "bytes": {item: sum(array.nbytes for array in arrays.values()) for item, arrays in saved.items()},
        "resumed": differing(advance(middle, END), whole),
        "without": {
            item: {"differs": differing(end, whole), "weights": distance(end, whole)} for item, end in ends.items()
        },
    }


def item_of(path: str) -> str:
    """Returns the item that an array belongs to."""
    return next(item for item, pattern in ITEMS.items() if re.search(pattern, path))


def leave_out(state: State, fresh: State, item: str) -> State:
    """Resets an item to the start of a run; arrays that do not exist there become zero."""
    at_start = dict(_leaves(fresh))

    def choose(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path)
        if item_of(name) != item:
            return leaf
        return at_start[name] if name in at_start else leaf * 0

    return jax.tree_util.tree_map_with_path(choose, state)


def by_item(state: State) -> dict[str, dict[str, np.ndarray]]:
    """Groups the arrays of a state by item and path, without the settings."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for path, leaf in _leaves(state):
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if item_of(path) != SETTINGS and not isinstance(leaf, bool | str):
            found.setdefault(item_of(path), {})[path] = np.asarray(leaf)
    return {item: found[item] for item in ITEMS if item in found}


def _leaves(state: State) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)]


def differing(end: State, reference: State) -> list[str]:
    """Lists the items that differ in any byte."""
    ours, theirs = by_item(end), by_item(reference)

    def same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
        return a.keys() == b.keys() and all(a[path].tobytes() == b[path].tobytes() for path in b)

    return [item for item in theirs if not same(ours.get(item, {}), theirs[item])]


def distance(end: State, reference: State) -> float:
    """Computes the relative norm of the difference of all parameters."""
    ours, theirs = (by_item(state)[PARAMETERS] for state in (end, reference))
    squares = sum(float(np.square(np.subtract(ours[path], theirs[path], dtype=float)).sum()) for path in theirs)
    return math.sqrt(squares / sum(float(np.square(array, dtype=float).sum()) for array in theirs.values()))


def tables(found: Mapping[str, Mapping[str, Measured]]) -> str:
    """Formats two tables: the bytes of each item, and the change of the weights without it."""
    cells = [(method, design, result) for method, designs in found.items() for design, result in designs.items()]
    names = [item for item in ITEMS if any(item in result["bytes"] for *_, result in cells)]
    sizes = [
        [method, design, *(f"{result['bytes'][name]:,}" if name in result["bytes"] else None for name in names)]
        for method, design, result in cells
    ]
    moved = [
        [
            method,
            design,
            *(f"{result['without'][name]['weights']:.1e}" if name in result["without"] else None for name in names),
        ]
        for method, design, result in cells
    ]
    align, header = "ll" + "r" * len(names), ["method", "design", *names]
    return markdown.document(
        f"Bytes of each item in the state after {STOP} steps, with {EPOCH} steps per epoch:",
        markdown.table(header, sizes, align),
        f"One item is reset to its initial value, and the run continues to step {END}: relative norm of the difference "
        "of the parameters from an uninterrupted run. No error was raised. Training does not read running statistics, "
        "averaged parameters or sums of metrics; samples and logs do.",
        markdown.table(header, moved, align),
    )
