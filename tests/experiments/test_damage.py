import pytest
from studies import damage

from jaxgan.runs import digests


@pytest.mark.slow
def test_damage_is_noticed_or_changes_no_value(tmp_path):
    text = damage.study(damage.Options(bits=2, out=tmp_path)).read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| one bit", "| file"))]
    assert len(rows) == 4
    for _, tried, noticed, harmless, wrong in rows:
        assert int(tried) == int(noticed) + int(harmless) > 0
        assert wrong.strip(" |") == "0"


@pytest.mark.parametrize("bit", [0, 13])
def test_a_flipped_bit_is_one_bit(tmp_path, bit):
    (tmp_path / "file").write_bytes(b"\x00\x00")
    damage.flip(tmp_path / "file", bit)
    assert int.from_bytes((tmp_path / "file").read_bytes(), "little") == 1 << bit


@pytest.mark.slow
def test_without_digests_damage_would_be_counted_as_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "_digest", lambda array: f"{digests._kind(array)} 0")
    text = damage.study(damage.Options(bits=30, out=tmp_path)).read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| one bit"))
    assert int(row.split(" | ")[-1].strip(" |")) > 0
