"""The export formats: each encodes a run as the content of a file."""

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

from jaxgan import methods, weight_files
from jaxgan.config import to_json
from jaxgan.errors import UserError
from jaxgan.export.portable import portable
from jaxgan.interop import weights
from jaxgan.methods.method import Generator
from jaxgan.runs.load import LoadedRun

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# Between the images of ONNX Runtime and of JAX, in [-1, 1]: a sixteenth of a grey level. Rounding makes up to 1e-4 in
# the solver steps of guided flow matching.
TOLERANCE = 5e-4
TRIED = 7  # latents to compare them on


class Encoded(NamedTuple):
    """The content of a file, and the format-specific entries of its manifest."""

    content: bytes
    about: dict[str, Any]


def parameters_taken(run: LoadedRun, *, averaged: bool) -> str:
    """Returns which parameters to export: ``averaged`` if requested and available, otherwise ``last``."""
    return "averaged" if averaged and run.state.averaged is not None else "last"


def trained_generator(run: LoadedRun, *, averaged: bool, compute_dtype: str | None = None) -> Generator:
    """Returns the function from latents to images of a run.

    Args:
      run: the run.
      averaged: whether to use the averaged parameters, if there are any.
      compute_dtype: dtype of matrix products; None for that of the run.

    Returns:
      The generator. With the averaged parameters it maps the latents of ``method.sample`` to the same images.
    """
    config, state = run.config.method, jax.device_get(run.state)
    config = dataclasses.replace(config, compute_dtype=compute_dtype or config.compute_dtype)
    method = methods.build(config, image_shape=run.image_shape, classes=run.classes)
    assert method.generator is not None
    return method.generator(state if averaged else state.replace(averaged=None))


class Format(NamedTuple):
    """An export format."""

    file_name: str  # the default without --out
    encode: Callable[[LoadedRun, bool], Encoded]  # arguments: the run, and whether to use averaged parameters
    needs: tuple[str, ...] = ()  # packages that jaxgan does not depend on


def stablehlo(run: LoadedRun, averaged: bool) -> Encoded:
    """Encodes the function from latents to images by ``jax.export``, for all of ``PLATFORMS``.

    The batch size is symbolic, and conditional runs also take labels. The parameters are embedded: without them, the
    file would be a hundredth of the size, but useless alone.
    """
    generator = trained_generator(run, averaged=averaged)
    (batch,) = export.symbolic_shape("batch")
    inputs = [jax.ShapeDtypeStruct((batch, generator.latent_size), jnp.float32)]
    inputs += [jax.ShapeDtypeStruct((batch,), jnp.int32)] * bool(generator.classes)
    exported = export.export(jax.jit(generator.images), platforms=PLATFORMS)(*inputs)
    about = {"platforms": PLATFORMS, "calling_convention_version": exported.calling_convention_version}
    about |= {"loaded_by": "jax.export.deserialize", "needs": ("jax", *FORMATS["stablehlo"].needs)}
    return Encoded(bytes(exported.serialize()), _interface(run, generator) | about)


def onnx(run: LoadedRun, averaged: bool) -> Encoded:
    """Encodes the function from latents to images as an ONNX model, and compares its images with those of JAX.

    The batch size is symbolic, and conditional runs also take labels. Matrix products use float32 even after training
    in bfloat16, which not every runtime supports.

    Raises:
      UserError: if the images of ONNX Runtime differ.
    """
    generator = trained_generator(run, averaged=averaged, compute_dtype="float32")
    latents = np.random.default_rng(0).uniform(-1, 1, (TRIED, generator.latent_size)).astype(np.float32)
    inputs: dict[str, np.ndarray] = {"latents": latents}
    declared = [jax.ShapeDtypeStruct(("batch", generator.latent_size), jnp.float32)]
    if generator.classes:
        inputs["labels"] = np.arange(TRIED, dtype=np.int32) % generator.classes
        declared.append(jax.ShapeDtypeStruct(("batch",), jnp.int32))
    with _without_warnings():
        import jax2onnx  # pyright: ignore[reportMissingImports]  # an extra
        import onnxruntime  # pyright: ignore[reportMissingImports]

        model = jax2onnx.to_onnx(
            portable(generator.images),
            declared,
            model_name=generator.name,
            input_names=list(inputs),
            output_names=["images"],
        )
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (images,) = session.run(None, inputs)
    difference = float(np.max(np.abs(images - jax.jit(generator.images)(*inputs.values()))))
    if not difference <= TOLERANCE:
        raise UserError(
            f"--format: the 'onnx' file is wrong, its images differ from JAX's by {difference:.1e}, "
            f"allowed is {TOLERANCE:.0e}; nothing was written"
        )
    about = {"opset": model.opset_import[0].version, "largest_difference": difference}
    versions = {name: version(name) for name in ("jax2onnx", "onnx", "onnxruntime")}
    interface = _interface(run, generator) | {"compute_dtype": "float32"}
    return Encoded(content, interface | about | {"versions": versions})


def torch(run: LoadedRun, averaged: bool) -> Encoded:
    """Encodes parameters and batch statistics in safetensors, for ``load_state_dict`` of a PyTorch module.

    Returns:
      The file. Its metadata has ``config`` (JSON), ``step`` and ``parameters``, which is ``averaged`` or ``last``.
    """
    taken = parameters_taken(run, averaged=averaged)
    metadata = {"format": "pt", "config": to_json(run.config), "step": str(run.step), "parameters": taken}
    content = weight_files.encode(weights(jax.device_get(run.state), averaged=averaged), metadata)
    return Encoded(content, _interface(run, trained_generator(run, averaged=averaged)))


FORMATS: Mapping[str, Format] = types.MappingProxyType(
    {
        "stablehlo": Format("generator.stablehlo", stablehlo, ("flatbuffers",)),
        "onnx": Format("generator.onnx", onnx, ("jax2onnx", "onnxruntime")),
        "torch": Format("weights.safetensors", torch),
    }
)


def _interface(run: LoadedRun, generator: Generator) -> dict[str, Any]:
    """Describes the inputs and outputs of a generator, for the manifest."""
    labels = {"name": "labels", "shape": ["batch"], "dtype": "int32", "classes": generator.classes}
    which = "the further numbers" if generator.prior.fixed else "all numbers"
    truncation = f"samples of the run multiply {which} by {generator.truncation:g}"
    return {
        "network": generator.name,
        "compute_dtype": run.config.method.compute_dtype,
        "latents": {
            "name": "latents",
            "shape": ["batch", generator.latent_size],
            "dtype": "float32",
            "law": generator.prior.name,
            "drawn": generator.prior.description,
            **({"truncation": truncation} if generator.truncation != 1 else {}),
        },
        **({"labels": labels} if generator.classes else {}),
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
    """Suppresses log warnings inside the context: the converter warns of irrelevant plugins and shapes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
