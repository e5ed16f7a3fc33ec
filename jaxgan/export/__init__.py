"""A finished run in one file that others read, with a manifest beside it; a format is one function.

``stablehlo`` and ``onnx`` hold one function from latents to images, with its parameters in it. For the first it takes
``jax`` and ``flatbuffers``, and neither Flax nor this package, on any of the platforms that it was exported for::

    from jax import export

    exported = export.deserialize(bytearray(Path("generator.stablehlo").read_bytes()))
    images = exported.call(latents)

and for the second ``onnxruntime``::

    images, = onnxruntime.InferenceSession("generator.onnx").run(None, {"latents": latents})

``torch`` holds the weights of all networks, under PyTorch's names. The manifest says which latents to draw.
"""

from jaxgan.export.formats import FORMATS
from jaxgan.export.writing import export

__all__ = ["FORMATS", "export"]
