"""Weights as safetensors, the same bytes for the same weights: the library writes metadata in random order."""

import json
from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save


def encode(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Encodes arrays by name, and texts by name, in the safetensors format."""
    content = save(dict(tensors), dict(metadata))
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data
    return len(text).to_bytes(8, "little") + text + data
