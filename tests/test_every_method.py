"""What every method keeps: one contract over METHODS, checked for each of them at a tiny size."""

import contextlib
import functools
import importlib.util
import json
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import optax
import pytest
from jax import export as jax_export

from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.export import FORMATS
from jaxgan.figures import training_curves
from jaxgan.interop import weights, with_weights
from jaxgan.methods import METHODS, Batch, Method
from jaxgan.methods.method import MethodState
from jaxgan.runs import checkpoints, launch, tracking
from jaxgan.runs.overview import headline
from jaxgan.runs.workdir import Workdir
from jaxgan.runtime.devices import replicated
from jaxgan.runtime.program import INIT_STREAM, STEP_STREAM, initial_carry, stream_key, to_unit_range
from tests.programs import stepper, training_data
from tests.random_states import assert_same, random_like
from tests.tiny import KEY, QUICK, SHAPE, a_batch, a_run, images, made, tiny, variants

BATCH, STEPS, SEED = 4, 3, 3
SGD = optax.sgd(1e-3)  # Adam would hide a wrong scale of the gradient
TRACED_SLOWLY = ("residual_gan",)  # a deep network twice differentiated
COMPILED_SLOWLY = (*TRACED_SLOWLY, "flow_matching", "digit_classifier")


def every(*, slowly):
    """Parametrizes a test with every method, some of them only among the slow tests."""
    kinds = [pytest.param(kind, marks=[pytest.mark.slow] if kind in slowly else []) for kind in METHODS]
    return pytest.mark.parametrize("kind", kinds)


EVERY = every(slowly=())
EVERY_TRACED = every(slowly=TRACED_SLOWLY)
EVERY_COMPILED = every(slowly=COMPILED_SLOWLY)
# Dear or the same for all: in the fast tests QUICK ones stand for the others.
EVERY_SLOWLY = every(slowly=set(METHODS) - set(QUICK))
ONE_QUICKLY = every(slowly=set(METHODS) - {QUICK[0]})
CHOICES = pytest.mark.parametrize("choices", [False, pytest.param(True, marks=pytest.mark.slow)])


class Trace(NamedTuple):
    """Shapes and types of a state, of the next one, and of the metrics by name."""

    before: Any
    after: Any
    metrics: dict[str, Any]
    held_out: dict[str, Any]


def trace(config):
    method = made(config)
    before = jax.eval_shape(method.init, KEY)
    after, metrics = jax.eval_shape(method.step, before, a_batch(BATCH), KEY)
    held_out = jax.eval_shape(method.evaluate, before, a_batch(BATCH), KEY) if method.evaluate else {}
    return Trace(before, after, metrics, held_out)


@functools.cache
def traces(kind, choices):
    """Traces of the variants that can be built, or without ``choices`` of the first, which has all options."""
    first, whole, *others = variants(kind)
    found = []
    for config in (whole, first, *others):
        with contextlib.suppress(UserError):  # some choices go with others alone
            found.append(trace(config))
        if found and not choices:
            break
    return found


class Fold(NamedTuple):
    """What a plain fold of the method's step gives, compiled once for two seeds at a time."""

    method: Method
    states: list[Any]  # of the first seed, before each step and after the last
    rows: list[dict[str, float]]  # the metrics of its steps
    start: Any  # the states of both seeds before the first step
    last: Any  # and after a further step, on black images: nothing in them varies
    drawn: jax.Array | None  # samples of both seeds
    held_out: dict[str, jax.Array]  # metrics of both seeds


@functools.cache
def fold_of(kind):
    method = made(tiny(kind), optimizer=SGD)
    pixels, labels, order = training_data(SHAPE, batch_size=BATCH, steps=STEPS)
    chosen = np.concatenate([order.reshape(STEPS, BATCH), [[0] * BATCH]])
    taken = pixels[chosen]
    taken[STEPS] = 0
    index = jnp.broadcast_to(jnp.arange(BATCH), chosen.shape)
    batches = Batch(to_unit_range(jnp.asarray(taken)), jnp.asarray(labels[chosen]), index)

    @jax.jit
    @jax.vmap
    def run(seed):
        def body(state, inputs):
            i, batch = inputs
            state, metrics = method.step(state, batch, jax.random.fold_in(stream_key(seed, STEP_STREAM), i))
            return state, (state, metrics)

        start = method.init(stream_key(seed, INIT_STREAM))
        last, (states, metrics) = jax.lax.scan(body, start, (jnp.arange(STEPS + 1), batches))
        drawn = method.sample(last, KEY, 3) if method.sample else None
        held_out = method.evaluate(last, a_batch(BATCH), KEY) if method.evaluate else {}
        return start, states, metrics, last, drawn, held_out

    start, states, metrics, *rest = jax.device_get(run(np.array([SEED, SEED + 1], np.uint32)))
    first = lambda tree, *place: jax.tree.map(lambda x: x[(0, *place)], tree)
    rows = [{name: float(value[0, i]) for name, value in metrics.items()} for i in range(STEPS + 1)]
    return Fold(method, [first(start), *(first(states, i) for i in range(STEPS))], rows, start, *rest)


def assert_close(found, expected, start):
    """States that moved alike from their start, within a thousandth of the largest move of each array."""

    def close(a, b, origin):
        reach = np.max(np.abs(np.subtract(b, origin, dtype=np.float64)), initial=0)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3 * reach + 1e-6)

    jax.tree.map(close, found, expected, start)


@CHOICES
@EVERY_TRACED
def test_a_step_keeps_structure_shapes_and_dtypes_of_the_state(kind, choices):
    for traced in traces(kind, choices):
        assert tree_of(traced.after) == tree_of(traced.before)
        assert isinstance(traced.before, MethodState)
        assert traced.before.step.dtype == np.int32
        assert {(x.shape, x.dtype) for x in traced.metrics.values()} == {((), np.dtype("float32"))}
        assert not any(jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in jax.tree.leaves(traced.before))


@EVERY_SLOWLY
def test_a_step_keeps_dtypes_of_the_state_with_64_bit_numbers(kind):
    with jax.enable_x64(True):
        traced = trace(tiny(kind))
    assert tree_of(traced.after) == tree_of(traced.before)


def tree_of(state):
    return jax.tree.map(lambda x: (x.shape, x.dtype), state)


@EVERY_COMPILED
def test_init_step_sample_and_evaluate_run_under_jit_and_vmap(kind):
    fold = fold_of(kind)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((fold.last, fold.held_out)))
    assert all(math.isfinite(value) for row in fold.rows for value in row.values())
    params = [jax.tree.leaves(state.variables(averaged=False)[0]) for state in (fold.states[0], fold.last)]
    assert any(np.any(before != after[0]) for before, after in zip(*params, strict=True))  # it learns
    for state in (fold.start, fold.last):  # the seeds differ
        params = jax.tree.leaves(state.variables(averaged=False)[0])
        assert any(np.any(of_one != of_other) for of_one, of_other in params)
    assert {value.shape for value in fold.held_out.values()} <= {(2,)}


@EVERY_COMPILED
def test_samples_are_images_in_the_range_of_tanh(kind):
    fold = fold_of(kind)
    if fold.method.sample is None:
        pytest.skip("draws no images")
    assert fold.drawn.shape == (2, 3, *SHAPE)
    assert np.max(np.abs(fold.drawn)) <= 1


@EVERY_SLOWLY
def test_samples_begin_alike_for_any_count(kind):
    run = a_run(tiny(kind))
    if run.method.sample is None:
        pytest.skip("draws no images")
    drawn, fewer = (jax.jit(run.method.sample, static_argnums=2)(run.state, KEY, count) for count in (3, 2))
    np.testing.assert_allclose(fewer, drawn[:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("devices", "parallel"),
    [
        (2, "shard_map"),
        pytest.param(2, "pmap", marks=pytest.mark.slow),
        pytest.param(1, "auto", marks=pytest.mark.slow),
    ],
)
@ONE_QUICKLY
def test_the_compiled_program_takes_the_steps_of_a_plain_fold(kind, devices, parallel):
    fold = fold_of(kind)
    how = {"image_shape": SHAPE, "batch_size": BATCH, "steps": STEPS, "seed": SEED, "optimizer": SGD}
    program = stepper(tiny(kind), devices=devices, parallel=parallel, **how)
    rows, carries = program.rows(program.start(fold.states[0]), steps=STEPS)
    for found, expected in zip(rows, fold.rows[:STEPS], strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    for found, expected in zip(carries, fold.states[1:], strict=True):
        assert_close(found.state, expected, fold.states[0])
    assert int(carries[-1].state.step) == STEPS


@EVERY_SLOWLY
def test_a_checkpoint_restores_every_bit(kind, tmp_path):
    method, sharding = made(tiny(kind)), replicated(jax.devices()[:1])
    abstract = jax.eval_shape(lambda: initial_carry(method, np.uint32(0), image_shape=SHAPE))
    carry = jax.device_put(random_like(abstract, dtype=np.float32, seed=1), sharding)
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        checkpoints.save(manager, carry, step=5)
    assert checkpoints.latest_step(tmp_path) == 5
    with checkpoints.checkpoint_manager(tmp_path, read_only=True) as manager:
        restored = checkpoints.restore(manager, abstract, step=5, sharding=sharding)
    assert_same(restored, carry)


@EVERY_COMPILED
@pytest.mark.parametrize("name", FORMATS)
def test_generators_are_exported_in_every_format(kind, name):
    run = a_run(tiny(kind))
    if run.method.generator is None:
        pytest.skip("draws no images")
    if missing := [package for package in FORMATS[name].needs if importlib.util.find_spec(package) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    encoded = FORMATS[name].encode(run, True)
    json.dumps(encoded.about)
    assert encoded.about["images"]["shape"] == ["batch", *SHAPE]
    if name != "stablehlo":
        assert encoded.content
        return
    generator = run.method.generator(run.state)
    latents = np.random.default_rng(0).uniform(-1, 1, (3, generator.latent_size)).astype(np.float32)
    given = (latents, np.arange(3, dtype=np.int32))[: 2 if generator.classes else 1]
    drawn = jax_export.deserialize(bytearray(encoded.content)).call(*given)
    np.testing.assert_allclose(drawn, jax.jit(generator.images)(*given), rtol=1e-4, atol=1e-5)


@EVERY
def test_weights_survive_pytorchs_names_and_layouts(kind):
    state = a_run(tiny(kind)).state
    arrays = weights(state)
    assert sum(array.size for array in arrays.values()) == sum(
        leaf.size for leaf in jax.tree.leaves(state.variables(averaged=False))
    )
    shifted = with_weights(state, {name: array + 1 for name, array in arrays.items()})
    assert_same(with_weights(shifted, arrays).variables(averaged=False), state.variables(averaged=False))


@CHOICES
@EVERY_TRACED
def test_every_metric_is_a_line_of_the_training_curves(kind, choices):
    names, baseline = set(), made(tiny(kind)).baseline
    for traced in traces(kind, choices):
        names |= {*traced.metrics, *(f"test_{name}" for name in traced.held_out)}
    if baseline:
        names |= baseline(images(20), images(20)).keys()
    values = {name: (i + 1.25, i + 1.5) for i, name in enumerate(sorted(names))}
    rows = [{"step": i, "epoch": i, **{name: value[i] for name, value in values.items()}} for i in (0, 1)]
    assert headline(rows[-1]) in names
    axes = [axes for axes in training_curves(rows, title=kind).axes if axes.get_visible()]
    drawn = [tuple(line.get_ydata()) for panel in axes for line in panel.get_lines()]
    assert {name for name, value in values.items() if value not in drawn} == set()
    assert all(panel.get_title() and panel.get_legend() for panel in axes)


@pytest.mark.slow
@EVERY
def test_visualizations_are_drawn(kind, tmp_path):
    _, whole, *_ = variants(kind)  # conditional, where it can be
    run = a_run(whole, classes=2)  # a row for each
    shown = run.method.visualize(run.state, a_batch(40, classes=2), KEY) if run.method.visualize else {}
    folder = Workdir(tmp_path)
    folder.metrics.write_text("".join(json.dumps({"step": i, "epoch": i, "loss": 1.0}) + "\n" for i in (1, 2)))
    files = tracking.draw(folder, title=run.config.method.title, visualizations=shown)
    assert {path.stem for path in files} == {"training", *shown}
    for path in files:
        assert np.ptp(matplotlib.image.imread(path)) > 0.5, path.name


@pytest.mark.slow  # tests/runs/test_launch.py has one in the fast tests
@EVERY
def test_a_dry_run_describes_and_writes_nothing(kind, tmp_path, capsys, toy_data):
    config = Config(tiny(kind), Run(workdir=tmp_path / "run", batch_size=20, devices=1))
    launch.main(config, ["--dry-run"])
    assert list(tmp_path.iterdir()) == []
    shown = capsys.readouterr().out
    assert f'"kind": "{kind}"' in shown
    assert "One step of the whole batch" in shown
    for name in made(config.method).networks:
        assert name.capitalize() in shown
