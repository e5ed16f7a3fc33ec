"""What a run becomes in each format."""

import contextlib
import logging
import types
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from safetensors import numpy as safetensors

from jaxgan.config import to_json
from jaxgan.errors import UserError
from jaxgan.export.generator import Generator, generator, parameters_taken
from jaxgan.export.portable import portable
from jaxgan.interop import weights
from jaxgan.runtime.finished import Finished

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
TOLERANCE = 1e-5  # between images of a converted function and its own, on the scale [-1, 1]
TRIED = 7  # latents on which they are compared


class Encoded(NamedTuple):
    """A file's content, and what its manifest says of it beyond what it says of every file."""

    content: bytes
    about: dict[str, Any]


class Format(NamedTuple):
    """How a run becomes a file."""

    file_name: str  # without --out
    encode: Callable[[Finished, bool], Encoded]  # from the run and whether averaged parameters are wanted
    needs: tuple[str, ...] = ()  # packages that do not come with this one


def stablehlo(run: Finished, averaged: bool) -> Encoded:
    """Encodes the function from latents to images as an artefact of ``jax.export``, for a batch of any size.

    A conditional run's takes labels as well. The parameters are in it: a file without them is a hundredth of the size,
    and of no use by itself.

    Args:
      run: the run.
      averaged: whether to take the averaged parameters, where there are any.

    Returns:
      The file, for all of ``PLATFORMS``.
    """
    made = generator(run, averaged=averaged)
    (batch,) = export.symbolic_shape("batch")
    given = [jax.ShapeDtypeStruct((batch, made.latent_size), jnp.float32)]
    given += [jax.ShapeDtypeStruct((batch,), jnp.int32)] * bool(made.classes)
    exported = export.export(jax.jit(made.images), platforms=PLATFORMS)(*given)
    about = {"platforms": PLATFORMS, "calling_convention_version": exported.calling_convention_version}
    return Encoded(bytes(exported.serialize()), _interface(made) | about)


def onnx(run: Finished, averaged: bool) -> Encoded:
    """Encodes the function from latents to images as an ONNX model, for a batch of any size, and tries it.

    A conditional run's takes labels as well. Products are computed in float32, also where the run was trained with
    fewer digits: not every runtime has bfloat16.

    Args:
      run: the run.
      averaged: whether to take the averaged parameters, where there are any.

    Returns:
      The file, parameters included.

    Raises:
      UserError: if ONNX Runtime makes other images of it.
    """
    made = generator(run, averaged=averaged, compute_dtype="float32")
    latents = np.random.default_rng(0).uniform(-1, 1, (TRIED, made.latent_size)).astype(np.float32)
    given, declared = {"latents": latents}, [jax.ShapeDtypeStruct(("batch", made.latent_size), jnp.float32)]
    if made.classes:
        given["labels"] = np.arange(TRIED, dtype=np.int32) % made.classes
        declared.append(jax.ShapeDtypeStruct(("batch",), jnp.int32))
    with _without_warnings():
        import jax2onnx  # an extra
        import onnxruntime

        model = jax2onnx.to_onnx(
            portable(made.images),
            declared,
            model_name=made.network,
            input_names=list(given),
            output_names=["images"],
        )
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (images,) = session.run(None, given)
    difference = float(np.max(np.abs(images - jax.jit(made.images)(*given.values()))))
    if not difference <= TOLERANCE:
        raise UserError(
            f"--format: 'onnx' came out wrong, its images differ from JAX's by {difference:.1e}, "
            f"allowed is {TOLERANCE:.0e}; nothing was written"
        )
    about = {"opset": model.opset_import[0].version, "largest_difference": difference}
    versions = {name: version(name) for name in ("jax2onnx", "onnx", "onnxruntime")}
    return Encoded(content, _interface(made) | about | {"versions": versions})


def torch(run: Finished, averaged: bool) -> Encoded:
    """Encodes parameters and batch statistics as a PyTorch module's ``load_state_dict`` takes them, in safetensors.

    Args:
      run: the run.
      averaged: whether to take the averaged parameters, where there are any.

    Returns:
      The file. Its metadata say which ``config`` (JSON), ``step`` and ``parameters`` they are: ``averaged`` or
      ``last``.
    """
    taken = parameters_taken(run, averaged=averaged)
    metadata = {"format": "pt", "config": to_json(run.config), "step": str(run.step), "parameters": taken}
    content = safetensors.save(weights(jax.device_get(run.state), averaged=averaged), metadata=metadata)
    return Encoded(content, _interface(generator(run, averaged=averaged)))


FORMATS: Mapping[str, Format] = types.MappingProxyType(
    {
        "stablehlo": Format("generator.stablehlo", stablehlo, ("flatbuffers",)),
        "onnx": Format("generator.onnx", onnx, ("jax2onnx", "onnxruntime")),
        "torch": Format("weights.safetensors", torch),
    }
)


LAWS = {
    "uniform": "every number from U[-1, 1]",
    "normal": "every number from N(0, 1)",
    "mixture": "one of the first 10 numbers is sqrt(10), each as often, the others of them are 0; "
    "every further number from U[-sqrt(3), sqrt(3)]",
}


def _interface(made: Generator) -> dict[str, Any]:
    """What goes into the map and what comes out of it."""
    labels = {"name": "labels", "shape": ["batch"], "dtype": "int32", "classes": made.classes}
    return {
        "network": made.network,
        "compute_dtype": made.compute_dtype,
        "latents": {
            "name": "latents",
            "shape": ["batch", made.latent_size],
            "dtype": "float32",
            "law": made.latent_law,
            "drawn": LAWS[made.latent_law],
            **({"truncation": _truncation(made)} if made.truncation != 1 else {}),
        },
        **({"labels": labels} if made.classes else {}),
        "images": {
            "name": "images",
            "shape": ["batch", *made.image_shape],
            "axes": "NHWC",
            "dtype": "float32",
            "range": [-1, 1],
        },
    }


def _truncation(made: Generator) -> str:
    which = "the further numbers" if made.latent_law == "mixture" else "all numbers"
    return f"samples of the run multiply {which} by {made.truncation:g}"


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps a converter's log to errors: it warns of plugins and of shapes that nothing here needs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
