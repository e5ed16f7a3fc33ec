"""Training speed of an accelerator, relative to PyTorch and to the peak performance of the device."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from studies.chip.recipes import Setting
from studies.chip.right import PRECISIONS
from studies.chip.worker import Row, one_line
from studies.speed import loop, programs, starts
from studies.speed.programs import COMPILED, EAGER, JAXGAN
from studies.speed.timing import Train, interleaved, ratio

from jaxgan.nn import bilinear, convolution_kernels

PAIR, AS_ON_CPU, OWN = "the adjoint pair", "the pair in its forms for CPU", "XLA's derivatives"
GRAPHED = "PyTorch CUDA graphs"
TWINS: dict[str, bool | str] = {EAGER: False, COMPILED: True, GRAPHED: "reduce-overhead"}  # arguments for torch.compile
AS_FAST = "jaxgan is times as fast"
CALLS = (0.02, 0.1, 0.5, 2.0)  # seconds of a call of the compiled program
DTYPES = {"float32": jnp.float32, "default": jnp.float32, "bfloat16": jnp.bfloat16}


def turns(setting: Setting, trains: dict[str, Train]) -> dict[str, list[float]]:
    """Times programs in interleaved turns."""
    return interleaved(trains, repeats=1 if setting.small else 5, seconds=0.01 if setting.small else 0.3)


def median(numbers: Sequence[float]) -> float:
    """Returns the median."""
    return float(np.median(numbers))


def ceilings(setting: Setting) -> Iterator[Row]:
    """Measures a large matrix product in each precision, and a large copy."""
    size, length = (128, 2**16) if setting.small else (8192, 2**28)
    key = jax.random.key(0)
    for name, (matmul, _) in PRECISIONS.items():
        a, b = (jax.random.normal(k, (size, size), DTYPES[name]) for k in jax.random.split(key))
        with jax.default_matmul_precision(matmul):
            product = jax.jit(jnp.matmul).lower(a, b).compile()
        rates = turns(setting, {"": partial(repeat, partial(product, a, b))})[""]
        values = {"TFLOP/s": 2 * size**3 * median(rates) / 1e12}
        yield Row("ceilings", {"ceiling": f"matrix product, {name}"}, values)
    x = jnp.arange(length, dtype=jnp.float32)
    copy = jax.jit(lambda x: x + 1).lower(x).compile()
    rates = turns(setting, {"": partial(repeat, partial(copy, x))})[""]
    yield Row("ceilings", {"ceiling": "copy"}, {"GB/s": 2 * x.nbytes * median(rates) / 1e9})


def repeat(call: Any, times: int) -> None:
    """Calls a function repeatedly and waits for the last result."""
    result = None
    for _ in range(times):
        result = call()
    jax.block_until_ready(result)


@contextlib.contextmanager
def in_torch(precision: str, device: str) -> Iterator[None]:
    """Sets PyTorch's precision to match JAX: full float32; TF32, JAX's default on GPUs; or autocast to bfloat16."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        yield


def steps(setting: Setting, method: str, batch_size: int, precision: str, twins: Sequence[str] = ()) -> Iterator[Row]:
    """Times the steps of a recipe and its PyTorch twins in turns, and analyzes the cost of its program.

    A twin that fails gives a row with the reason. The row of jaxgan is not repeated beside compiled twins.
    """
    matmul, dtype = PRECISIONS[precision]
    config = setting.recipe(method, run={"batch_size": batch_size}, compute_dtype=dtype)
    dataset, devices = setting.images(), jax.devices()[:1]
    key = {"method": method, "images per step": batch_size, "precision": precision}
    began = time.perf_counter()
    with jax.default_matmul_precision(matmul):
        ours = programs.training(config, dataset, devices)
    first, trains = time.perf_counter() - began, {JAXGAN: ours.train}
    has_torch = twins and find_spec("torch") is not None
    device = {"gpu": "cuda"}.get(devices[0].platform, devices[0].platform)
    with in_torch(precision, device) if has_torch else contextlib.nullcontext():
        for twin in twins if has_torch else ():
            try:
                trains[twin] = programs.pytorch(config, dataset, device, compiled=TWINS[twin])
            except Exception as error:  # various types; jaxgan's row is still valid
                yield Row("speed", key | {"program": twin}, {"steps/s": one_line(error)})
        rates = turns(setting, trains)
    for program, found in rates.items():
        values = {"steps/s": median(found), "images/s": batch_size * median(found)}
        if program != JAXGAN:
            yield Row("speed", key | {"program": program}, values | {AS_FAST: ratio(rates[JAXGAN], found)})
        elif not any(TWINS[twin] for twin in twins):
            yield Row(
                "speed", key | {"program": program}, values | cost(ours, median(found)) | {"first step, s": first}
            )


def flags(setting: Setting, method: str, batch_size: int, flags: str) -> Iterator[Row]:
    """Times a recipe in a process with XLA flags."""
    config = setting.recipe(method, run={"batch_size": batch_size})
    ours = programs.training(config, setting.images(), jax.devices()[:1])
    rate = median(turns(setting, {JAXGAN: ours.train})[JAXGAN])
    yield Row(
        "flags", {"method": method, "images per step": batch_size, "XLA_FLAGS": flags or "none"}, {"steps/s": rate}
    )


def cost(ours: programs.Training, rate: float) -> dict[str, float]:
    """Returns operations and bytes per second, and memory of a program, as far as XLA reports them."""
    found: dict[str, float] = {}
    with contextlib.suppress(Exception):  # not available on every backend
        found["TFLOP/s"] = (ours.lowered.cost_analysis() or {})["flops"] * rate / 1e12
    with contextlib.suppress(Exception):
        found["GB/s"] = (ours.compiled.cost_analysis() or {})["bytes accessed"] * rate / 1e9
    with contextlib.suppress(Exception):
        memory = ours.compiled.memory_analysis()
        assert memory is not None
        found["MB"] = (memory.argument_size_in_bytes + memory.temp_size_in_bytes) / 1e6
    return found


def calls(setting: Setting, method: str) -> Iterator[Row]:
    """Runs the training loop of the recipes with calls of several lengths."""
    dataset, devices = setting.images(), jax.devices()[:1]
    config = setting.recipe(method, run={"batch_size": 16} if setting.small else {})
    for seconds in CALLS[:1] if setting.small else CALLS:
        steps = 100 if setting.small else 10_000
        found = loop.measure(config, dataset, devices, steps=steps, memory_every=steps, seconds_per_call=seconds)
        inside, between = sum(found["calls"]), sum(found["between"])
        values = {
            "calls": len(found["calls"]),
            "ms in a call": 1e3 * median(found["calls"]),
            "ms between calls": 1e3 * median(found["between"]),
            "time between calls, %": 100 * between / (inside + between),
        }
        stats = devices[0].memory_stats() or {}
        values |= {"device's peak, MB": stats["peak_bytes_in_use"] / 1e6} if "peak_bytes_in_use" in stats else {}
        yield Row("calls", {"method": method, "seconds per call": seconds}, values)


def patches() -> dict[str, contextlib.AbstractContextManager[Any]]:
    """Returns context managers in which convolutions are traced in different forms."""
    kernels = convolution_kernels
    return {
        PAIR: contextlib.nullcontext(),
        AS_ON_CPU: patch.object(lax, "platform_dependent", lambda *args, cpu, default: cpu(*args)),
        OWN: patch.multiple(bilinear, _c=kernels.convolve, _t=kernels.convolve_transposed, _w=kernels.correlate),
    }


def forms(setting: Setting, method: str, batch_size: int) -> Iterator[Row]:
    """Times a recipe with each form of convolutions and their gradients, in turns."""
    config = setting.recipe(method, run={"batch_size": batch_size})
    dataset, devices = setting.images(), jax.devices()[:1]
    trains = {}
    for name, patched in patches().items():
        with patched:
            trains[name] = programs.training(config, dataset, devices).train
    rates = turns(setting, trains)
    for name, found in rates.items():
        values = {"steps/s": median(found), "the pair is times as fast": ratio(rates[PAIR], found)}
        yield Row("forms", {"method": method, "images per step": batch_size, "convolutions": name}, values)


def first_steps(setting: Setting, method: str) -> Iterator[Row]:
    """Times a recipe's command up to its first step, with an empty and with a filled compilation cache."""
    with tempfile.TemporaryDirectory() as cache:
        for kind in ("cold", "warm"):
            seconds = starts.first_step(method, JAXGAN, cache=cache, data_dir=setting.data_dir)
            yield Row("first steps", {"method": method}, {f"{kind}, s": seconds})
