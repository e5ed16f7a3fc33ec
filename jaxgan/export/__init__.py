"""Exports a run to one file for other programs, with a JSON manifest; each format is one function.

``stablehlo`` and ``onnx`` hold the function from latents to images with its parameters. A StableHLO file needs only
``jax`` and ``flatbuffers``, not Flax or this package, and runs on every platform that it was exported for::

    from jax import export

    exported = export.deserialize(bytearray(Path("generator.stablehlo").read_bytes()))
    images = exported.call(latents)

An ONNX file needs ``onnxruntime``::

    images, = onnxruntime.InferenceSession("generator.onnx").run(None, {"latents": latents})

``torch`` holds the weights of all networks, under PyTorch's names. The manifest has the prior of the latents.
"""

from jaxgan.export.formats import FORMATS
from jaxgan.export.writing import export

__all__ = ["FORMATS", "export"]
