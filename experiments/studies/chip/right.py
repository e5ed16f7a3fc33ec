"""Correctness of an accelerator: agreement with the CPU, and reproducibility."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array
from studies.aot.compilation import networks
from studies.chip.recipes import Setting
from studies.chip.worker import Row

from jaxgan.data import Dataset
from jaxgan.methods import Batch, Method, build, optimization
from jaxgan.nn.bilinear import convolution, transposed_convolution, weight_gradient
from jaxgan.nn.convolution_kernels import LAYOUT, Geometry, pair
from jaxgan.runs.train import train
from jaxgan.runtime.devices import AXIS
from jaxgan.runtime.program import INIT_STREAM, STEP_STREAM, Carry, stream_key, to_unit_range

PRECISIONS = {  # precisions of matrix products: JAX's setting, and the compute dtype of a method
    "float32": ("highest", "float32"),
    "default": ("default", "float32"),
    "bfloat16": ("default", "bfloat16"),
}
STEPS, MORE_STEPS = 20, 200  # compared steps, and steps checked for finite metrics in bfloat16
LEAST = 0.01  # differences of smaller metrics are relative to this value
LAYERS = {  # layers of the DCGAN: geometry, image size, channels
    "28 to 14": (Geometry((4, 4), (2, 2), (1, 1)), 28, (1, 32)),
    "14 to 7": (Geometry((4, 4), (2, 2), (1, 1)), 14, (32, 64)),
    "7 to 4": (Geometry((3, 3), (2, 2), (1, 1)), 7, (64, 128)),
    "4 to 1": (Geometry((4, 4), (1, 1), (0, 0)), 4, (128, 1)),
}

Step = Callable[[Any, int], tuple[Any, dict[str, float], Any]]


def agreement(setting: Setting, method: str) -> Iterator[Row]:
    """Takes the first steps of a method on the CPU in full precision, and on the accelerator in each precision.

    The accelerator takes one step from each state of the CPU, to compare gradients at equal weights: Adam turns the
    sign of a tiny gradient into a whole step. Then it takes the same steps from the start.
    """
    steps = 3 if setting.small else STEPS
    start, on_cpu = initial(setting, method), stepper(setting, method, "float32", jax.devices("cpu")[0])
    states, rows, gradients = [start], [], []
    for i in range(steps):
        state, metrics, gradient = on_cpu(states[-1], i)
        states, rows, gradients = [*states, state], [*rows, metrics], [*gradients, gradient]
    for precision in PRECISIONS:
        step = stepper(setting, method, precision, jax.devices()[0])
        found = [step(states[i], i)[1:] for i in range(steps)]
        state, metrics = start, {}
        for i in range(steps):
            state, metrics, _ = step(state, i)
        values = {
            "metrics, equal weights": max(metrics_apart(a, b) for (a, _), b in zip(found, rows, strict=True)),
            "gradients, equal weights": max(apart(a, b) for (_, a), b in zip(found, gradients, strict=True)),
            f"metrics after {steps} steps": metrics_apart(metrics, rows[-1]),
            f"weights after {steps} steps": apart(weights(state), weights(states[-1])),
        }
        finite = steps
        while precision == "bfloat16" and finite < (steps if setting.small else MORE_STEPS):
            state, metrics, _ = step(state, finite)
            if not np.isfinite([*metrics.values()]).all():
                break
            finite += 1
        yield Row("agreement", {"method": method, "precision": precision}, values | {"finite steps": finite})


def initial(setting: Setting, name: str) -> Any:
    """Returns the initial state of all programs of a method."""
    method = build(setting.recipe(name).method, image_shape=setting.images(most=1).image_shape, optimizer=recording())
    with jax.default_device(jax.devices("cpu")[0]):
        return jax.device_get(jax.jit(method.init)(stream_key(0, INIT_STREAM)))


def stepper(setting: Setting, name: str, precision: str, device: Any) -> Step:
    """Compiles a method's step for a device.

    The step maps a state and a step number to the next state, metrics, and gradients of all networks.
    """
    matmul, dtype = PRECISIONS[precision]
    config = setting.recipe(name, compute_dtype=dtype)
    dataset = setting.images(most=64 * STEPS)
    method = build(config.method, image_shape=dataset.image_shape, optimizer=recording())
    key, size = stream_key(0, STEP_STREAM), 16 if setting.small else 64
    compiled = jax.jit(method.step)

    def step(state: Any, number: int) -> tuple[Any, dict[str, float], Any]:
        arguments = state, batch_of(dataset, number, size), jax.random.fold_in(key, number)
        with jax.default_matmul_precision(matmul):
            found, metrics = jax.device_get(compiled(*jax.device_put(arguments, device)))
        return found, {k: float(v) for k, v in metrics.items()}, [n.opt_state[1] for n in networks(of(found))]

    return step


def of(state: Any) -> Carry:
    """Wraps a state in a carry."""
    return Carry(state, {}, jnp.zeros((), jnp.int32))


def batch_of(dataset: Dataset, number: int, size: int) -> Batch:
    """Returns the batch of a step, in the order of the data set."""
    chosen = np.arange(number * size, (number + 1) * size) % dataset.size
    return Batch(np.asarray(to_unit_range(dataset.images[chosen])), dataset.labels[chosen], np.arange(size))


def recording(rate: float = 1e-3) -> optax.GradientTransformation:
    """Makes an Adam whose state also holds the last gradients."""
    adam = optimization.adam(rate)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, inner = adam.update(gradients, state[0], params)
        return updates, (inner, gradients)

    def init(params: Any) -> Any:
        return adam.init(params), jax.tree.map(jnp.zeros_like, params)

    return optax.GradientTransformation(init, update)


def weights(state: Any) -> Any:
    """Returns the parameters of all networks."""
    return state.variables(averaged=False)[0]


def apart(found: Any, expected: Any) -> float:
    """Returns the distance of two trees of arrays, relative to the norm of the second."""
    a, b = (np.concatenate([np.ravel(x).astype(np.float64) for x in jax.tree.leaves(t)]) for t in (found, expected))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def metrics_apart(found: dict[str, float], expected: dict[str, float]) -> float:
    """Returns the largest relative difference of a metric."""
    return max(abs(float(found[name] - value)) / max(abs(float(value)), LEAST) for name, value in expected.items())


def convolutions(setting: Setting) -> Iterator[Row]:
    """Compares the three adjoint maps in float32 on the accelerator, and their first and second derivatives."""
    batch = 2 if setting.small else 16
    for name, (geometry, size, channels) in tuple(LAYERS.items())[-1 if setting.small else 0 :]:
        rng, small = np.random.default_rng(0), geometry.down((size, size))
        shapes = (batch, size, size, channels[0]), (*geometry.kernel_size, *channels), (batch, *small, channels[1])
        x, w, y = (rng.normal(size=shape) for shape in shapes)
        arrays = x, w / np.sqrt(np.prod(shapes[1][:3])), y
        with jax.default_matmul_precision("highest"):
            single = jax.device_put([a.astype(np.float32) for a in arrays], jax.devices()[0])
            one, two, three = jax.device_get(jax.jit(partial(products, geometry))(*single))
            found = jax.device_get(derivatives(partial(ours, geometry))(*single))
        with jax.enable_x64(True):
            double = jax.device_put(arrays, jax.devices("cpu")[0])
            expected = jax.device_get(derivatives(partial(of_xla, geometry))(*double))
        first, second = (apart(a, b) for a, b in zip(found, expected, strict=True))
        adjoint = float(max(abs(one - two), abs(one - three)))
        yield Row("convolutions", {"layer": name}, {"adjoint": adjoint, "first": first, "second": second})


def ours(geometry: Geometry, x: Array, w: Array) -> Array:
    """Computes C(x, w) by the adjoint pair."""
    return convolution(x, w, strides=geometry.strides, padding=geometry.padding)


def of_xla(geometry: Geometry, x: Array, w: Array) -> Array:
    """Computes C(x, w) by XLA, with XLA's derivatives."""
    padding = [(p, p) for p in geometry.padding]
    return lax.conv_general_dilated(x, w, geometry.strides, padding, dimension_numbers=LAYOUT)


def products(geometry: Geometry, x: Array, w: Array, y: Array) -> list[Array]:
    """Computes <C(x, w), y>, <x, T(y, w)> and <w, W(x, y)>, divided by ||C(x, w)|| ||y||."""
    options, surplus = {"strides": geometry.strides, "padding": geometry.padding}, geometry.surplus(pair(x.shape[1:3]))
    down = ours(geometry, x, w)
    up = transposed_convolution(y, w, output_padding=surplus, **options)
    across = weight_gradient(x, y, kernel_size=geometry.kernel_size, **options)
    scale = jnp.linalg.norm(down) * jnp.linalg.norm(y)
    return [jnp.vdot(a, b) / scale for a, b in ((down, y), (x, up), (w, across))]


def derivatives(conv: Callable[[Array, Array], Array]) -> Callable[..., Any]:
    """Compiles the gradients of a loss, and of its squared gradient norm, in image and kernel."""

    def loss(x: Array, w: Array, y: Array) -> Array:
        return jnp.sum(jnp.sin(conv(x, w)) * y)

    def penalty(x: Array, w: Array, y: Array) -> Array:
        return sum(jnp.sum(g**2) for g in jax.grad(loss, (0, 1))(x, w, y))

    return jax.jit(lambda *arrays: [jax.grad(f, (0, 1))(*arrays) for f in (loss, penalty)])


def front_ends(setting: Setting, method: str) -> Iterator[Row]:
    """Takes a step by jit on one device, and by pmap and shard_map on all devices that divide the batch."""
    config, dataset = setting.recipe(method), setting.images(most=64)
    size = 16 if setting.small else 64
    devices = jax.local_devices()[: max(n for n in range(1, jax.local_device_count() + 1) if size % n == 0)]
    mesh, everywhere = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,)), PartitionSpec()

    def method_on(axis_name: str | None) -> Method:
        return build(config.method, image_shape=dataset.image_shape, axis_name=axis_name, optimizer=recording())

    alone, many = method_on(None), method_on(AXIS)
    batch, key = batch_of(dataset, 0, size), stream_key(0, STEP_STREAM)
    parts = jax.tree.map(lambda x: x.reshape(len(devices), -1, *x.shape[1:]), batch)
    mapped = jax.shard_map(
        many.step, mesh=mesh, in_specs=(everywhere, PartitionSpec(AXIS), everywhere), out_specs=everywhere
    )
    pmapped = jax.pmap(many.step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=None, devices=devices)
    with jax.default_matmul_precision("highest"):
        state = initial(setting, method)
        expected = jax.device_get(jax.jit(alone.step)(state, batch, key))
        for name, step, share in (("pmap", pmapped, parts), ("shard_map", jax.jit(mapped), batch)):
            found = jax.device_get(step(state, share, key))
            states = [[n.opt_state[1] for n in networks(of(each[0]))] for each in (found, expected)]
            values = {"gradients": apart(*states), "metrics": metrics_apart(found[1], expected[1])}
            yield Row("front ends", {"method": method, "front end": name, "devices": len(devices)}, values)


def same_bytes(setting: Setting, methods: tuple[str, ...], flags: str, process: int) -> Iterator[Row]:
    """Trains two epochs on few images once, again, and resumed after the first; compares the bytes of the states."""
    dataset = setting.images(most=6400)
    for method in methods:
        with tempfile.TemporaryDirectory() as folder:
            once, again, resumed = (
                train_to(setting, method, dataset, Path(folder, name), epochs)
                for name, epochs in (("once", [2]), ("again", [2]), ("resumed", [1, 2]))
            )
        values = {"bytes": once, "again": "same" if again == once else "other"}
        values |= {"resumed": "same" if resumed == once else "other"}
        named = {f"{name}, process {process}": value for name, value in values.items()}
        yield Row("same bytes", {"method": method, "XLA_FLAGS": flags}, named)


def train_to(setting: Setting, method: str, dataset: Dataset, workdir: Path, epochs: list[int]) -> str:
    """Trains a recipe to each of the epochs, resuming in between, and digests the last state."""
    state = None
    for i, last in enumerate(epochs):
        run = {"workdir": workdir, "epochs": last, "checkpoint_every": 1, "sample_epochs": ()}
        config = setting.recipe(method, run=run)
        built = build(config.method, image_shape=dataset.image_shape)
        state = train(config, built, dataset, jax.devices()[:1], resume=i > 0)
    return digest(state)


def digest(state: Any) -> str:
    """Returns the first digits of the SHA-256 of all arrays."""
    hashed = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(state)):
        hashed.update(np.ascontiguousarray(leaf).tobytes())
    return hashed.hexdigest()[:8]
