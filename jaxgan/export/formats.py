"""What a run becomes in each format."""

import contextlib
import dataclasses
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

from jaxgan import methods
from jaxgan.config import to_json
from jaxgan.errors import UserError
from jaxgan.export.portable import portable
from jaxgan.interop import weights
from jaxgan.methods.method import Generator
from jaxgan.runs.load import LoadedRun

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
TOLERANCE = 1e-5  # between images of a converted function and its own, on the scale [-1, 1]
TRIED = 7  # latents on which they are compared


class Encoded(NamedTuple):
    """A file's content, and what its manifest says of it beyond what it says of every file."""

    content: bytes
    about: dict[str, Any]


def parameters_taken(run: LoadedRun, *, averaged: bool) -> str:
    """Says which parameters there are to take: ``averaged`` if they are wanted and kept, or else ``last``."""
    return "averaged" if averaged and run.state.averaged is not None else "last"


def trained_generator(run: LoadedRun, *, averaged: bool, compute_dtype: str | None = None) -> Generator:
    """Takes the map from latents to images out of a run.

    Args:
      run: the run.
      averaged: whether to take the averaged parameters, where there are any.
      compute_dtype: what matrix products are computed in; None for what the run was trained with.

    Returns:
      The map. With the averaged parameters it gives, at the latents that the method draws, the images that it samples.
    """
    config, state = run.config.method, jax.device_get(run.state)
    config = dataclasses.replace(config, compute_dtype=compute_dtype or config.compute_dtype)
    method = methods.build(config, image_shape=run.image_shape, classes=run.classes)
    assert method.generator is not None
    return method.generator(state if averaged else state.replace(averaged=None))


class Format(NamedTuple):
    """How a run becomes a file."""

    file_name: str  # without --out
    encode: Callable[[LoadedRun, bool], Encoded]  # from the run and whether averaged parameters are wanted
    needs: tuple[str, ...] = ()  # packages that do not come with this one


def stablehlo(run: LoadedRun, averaged: bool) -> Encoded:
    """Encodes the function from latents to images as an artefact of ``jax.export``, for all of ``PLATFORMS``.

    The batch may have any size, and a conditional run takes labels as well. The parameters are in it: a file without
    them is a hundredth of the size, and of no use by itself.
    """
    made = trained_generator(run, averaged=averaged)
    (batch,) = export.symbolic_shape("batch")
    given = [jax.ShapeDtypeStruct((batch, made.latent_size), jnp.float32)]
    given += [jax.ShapeDtypeStruct((batch,), jnp.int32)] * bool(made.classes)
    exported = export.export(jax.jit(made.images), platforms=PLATFORMS)(*given)
    about = {"platforms": PLATFORMS, "calling_convention_version": exported.calling_convention_version}
    about |= {"loaded_by": "jax.export.deserialize", "needs": ("jax", *FORMATS["stablehlo"].needs)}
    return Encoded(bytes(exported.serialize()), _interface(run, made) | about)


def onnx(run: LoadedRun, averaged: bool) -> Encoded:
    """Encodes the function from latents to images as an ONNX model, for a batch of any size, and tries it.

    A conditional run's takes labels as well. Products are computed in float32, also where the run was trained with
    fewer digits: not every runtime has bfloat16.

    Raises:
      UserError: if ONNX Runtime makes other images of it.
    """
    made = trained_generator(run, averaged=averaged, compute_dtype="float32")
    latents = np.random.default_rng(0).uniform(-1, 1, (TRIED, made.latent_size)).astype(np.float32)
    given: dict[str, np.ndarray] = {"latents": latents}
    declared = [jax.ShapeDtypeStruct(("batch", made.latent_size), jnp.float32)]
    if made.classes:
        given["labels"] = np.arange(TRIED, dtype=np.int32) % made.classes
        declared.append(jax.ShapeDtypeStruct(("batch",), jnp.int32))
    with _without_warnings():
        import jax2onnx  # pyright: ignore[reportMissingImports]  # an extra
        import onnxruntime  # pyright: ignore[reportMissingImports]

        model = jax2onnx.to_onnx(
            portable(made.images),
            declared,
            model_name=made.name,
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
    interface = _interface(run, made) | {"compute_dtype": "float32"}
    return Encoded(content, interface | about | {"versions": versions})


def torch(run: LoadedRun, averaged: bool) -> Encoded:
    """Encodes parameters and batch statistics as a PyTorch module's ``load_state_dict`` takes them, in safetensors.

    Returns:
      The file. Its metadata say which ``config`` (JSON), ``step`` and ``parameters`` they are: ``averaged`` or
      ``last``.
    """
    taken = parameters_taken(run, averaged=averaged)
    metadata = {"format": "pt", "config": to_json(run.config), "step": str(run.step), "parameters": taken}
    content = safetensors.save(weights(jax.device_get(run.state), averaged=averaged), metadata=metadata)
    return Encoded(content, _interface(run, trained_generator(run, averaged=averaged)))


FORMATS: Mapping[str, Format] = types.MappingProxyType(
    {
        "stablehlo": Format("generator.stablehlo", stablehlo, ("flatbuffers",)),
        "onnx": Format("generator.onnx", onnx, ("jax2onnx", "onnxruntime")),
        "torch": Format("weights.safetensors", torch),
    }
)


def _interface(run: LoadedRun, made: Generator) -> dict[str, Any]:
    """What goes into the map and what comes out of it."""
    labels = {"name": "labels", "shape": ["batch"], "dtype": "int32", "classes": made.classes}
    which = "the further numbers" if made.prior.fixed else "all numbers"
    truncation = f"samples of the run multiply {which} by {made.truncation:g}"
    return {
        "network": made.name,
        "compute_dtype": run.config.method.compute_dtype,
        "latents": {
            "name": "latents",
            "shape": ["batch", made.latent_size],
            "dtype": "float32",
            "law": made.prior.name,
            "drawn": made.prior.description,
            **({"truncation": truncation} if made.truncation != 1 else {}),
        },
        **({"labels": labels} if made.classes else {}),
        "images": {
            "name": "images",
            "shape": ["batch", *run.image_shape],
            "axes": "NHWC",
            "dtype": "float32",
            "range": [-1, 1],
        },
    }


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps a converter's log to errors: it warns of plugins and of shapes that nothing here needs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
