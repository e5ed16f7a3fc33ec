import numpy as np
from safetensors import safe_open

from jaxgan.weight_files import encode

TENSORS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a/ü": np.ones(3, np.float16),
    "c": np.zeros((), np.int32),
}
METADATA = {name: f'{{"é": "{name}"}}\n' for name in "zyxwvutsrq"}


def test_equal_weights_give_equal_bytes_that_safetensors_reads(tmp_path):
    content = encode(TENSORS, METADATA)
    assert {encode(TENSORS, dict(reversed(METADATA.items()))) for _ in range(20)} == {content}
    (tmp_path / "weights.safetensors").write_bytes(content)
    with safe_open(tmp_path / "weights.safetensors", framework="numpy") as file:
        assert file.metadata() == METADATA
        for name, array in TENSORS.items():
            np.testing.assert_array_equal(file.get_tensor(name), array, strict=True)
