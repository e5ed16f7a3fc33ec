import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from comparing import lines
from comparing.concerns import CONCERNS, DEVICES, LOOP, LOSS, MODEL, TABLES
from comparing.designs import DESIGNS, FUNCTIONAL, PYTORCH
from comparing.source import code_lines, has_run
from comparing.tracing import Found, watch

PROGRAM = '''"""A module."""

import sys
from dataclasses import dataclass
from typing import NamedTuple

RATE = 1


@dataclass
class Made:
    """With a field."""

    size: int = 3  # a comment


class Pair(NamedTuple):
    first: int


class Unmade(NamedTuple):
    first: int


def called(
    flag: bool,
) -> int:
    """Says something
    on two lines.
    """
    import json

    if flag:
        return max(
            Made().size,
            Pair(1).first,
        )
    return 0


def outer(flag):
    def inner():
        return 1

    return inner() if flag else 0


def never():
    return 2
'''


def used_by(folder: Path, call: str) -> Found:
    path = folder / "program.py"
    path.write_text(PROGRAM)
    sys.modules.pop("program", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import program

        return watch(lambda: eval(call, vars(program)), script=folder / "none.py", root=folder)


def lines_that_ran(folder: Path, call: str) -> list[str]:
    found = used_by(folder, call)
    hits, made = (part.get("program.py", set()) for part in found)
    text = PROGRAM.splitlines()
    return [text[line.number - 1].strip() for line in code_lines(PROGRAM) if has_run(line, hits, made)]


@pytest.mark.parametrize("design", DESIGNS)
def test_every_definition_has_a_concern_and_every_row_of_the_table_a_definition(design):
    lines.check(TABLES[design])


def test_a_definition_without_a_row_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    pass\n\n\ndef g():\n    pass\n")
    lines.check({"a.py": {"f": MODEL, "g": LOSS}}, tmp_path)
    with pytest.raises(ValueError, match=r"covers g in a\.py, line 5"):
        lines.check({"a.py": {"f": MODEL}}, tmp_path)


def test_a_row_without_a_definition_is_an_error_and_so_is_one_in_the_shadow_of_another(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    pass\n")
    for idle in ({"f": MODEL, "h": LOSS}, {"*": MODEL, "f": LOSS}):
        with pytest.raises(ValueError, match="cover nothing"):
            lines.check({"a.py": idle}, tmp_path)


def test_a_file_that_ran_and_is_in_no_table_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    return 1\n")
    with pytest.raises(ValueError, match=r"covers f in a\.py"):
        lines.count(Found({"a.py": {2}}, {}), {}, tmp_path)


def test_blank_lines_comments_docstrings_and_imports_are_no_code():
    text = PROGRAM.splitlines()
    counted = [text[line.number - 1].strip() for line in code_lines(PROGRAM)]
    assert counted[:4] == ["RATE = 1", "@dataclass", "class Made:", "size: int = 3  # a comment"]
    assert not any("import" in line or '"""' in line or not line or "two lines" in line for line in counted)
    assert len(counted) == 23


def test_a_line_belongs_to_the_innermost_definition():
    owners = {
        line.number: line.owner
        for line in code_lines("a = 1\n\n\nclass C:\n    x = 1\n\n    def f(self):\n        return 1\n")
    }
    assert owners == {1: "<module>", 4: "C", 5: "C", 7: "C.f", 8: "C.f"}


def test_what_ran_is_whole_statements_signatures_of_called_functions_and_fields_of_made_objects(tmp_path):
    assert lines_that_ran(tmp_path, "called(True)") == [
        *(
            "RATE = 1",
            "@dataclass",
            "class Made:",
            "size: int = 3  # a comment",
            "class Pair(NamedTuple):",
            "first: int",
        ),
        *("def called(", "flag: bool,", ") -> int:"),
        *("if flag:", "return max(", "Made().size,", "Pair(1).first,", ")"),
    ]


def test_a_function_that_is_defined_and_not_called_did_not_run(tmp_path):
    ran = lines_that_ran(tmp_path, "outer(False)")
    assert "def outer(flag):" in ran
    assert not {"def inner():", "return 1"} & set(ran)
    assert {"def inner():", "return 1"} < set(lines_that_ran(tmp_path, "outer(True)"))


def test_importing_a_module_runs_none_of_its_lines(tmp_path, monkeypatch):
    (tmp_path / "imported.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    found = watch(lambda: importlib.import_module("imported"), script=tmp_path / "none.py", root=tmp_path)
    assert "imported" in sys.modules
    assert found == Found({}, {})
    assert lines_that_ran(tmp_path, "None") == []


def test_lines_that_name_devices_count_as_such_in_the_package_only(tmp_path):
    for folder in ("jaxgan", "experiments"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("def f(x, axis_name):\n    y = pmean(x, axis_name)\n    return x\n")
    counts = {
        file: lines.count(Found({file: {2, 3}}, {}), {file: {"*": LOOP}}, tmp_path)["ran"]
        for file in ("jaxgan/a.py", "experiments/a.py")
    }
    assert counts == {"jaxgan/a.py": {DEVICES: 2, LOOP: 1}, "experiments/a.py": {LOOP: 3}}


def test_methods_together_count_a_shared_line_once(tmp_path):
    (tmp_path / "a.py").write_text("def f():\n    return 1\n\n\ndef g():\n    return 2\n")
    both = lines.merged([Found({"a.py": {2}}, {}), Found({"a.py": {2, 6}}, {})])
    assert lines.count(both, {"a.py": {"*": LOOP}}, tmp_path)["ran"] == {LOOP: 4}


def test_the_shortest_design_of_each_row_is_bold_whichever_it_is():
    counts = {
        FUNCTIONAL: {"ran": {MODEL: 3, LOSS: 9}, "there": {MODEL: 30, LOSS: 90}},
        PYTORCH: {"ran": {MODEL: 4, LOSS: 2}, "there": {MODEL: 5, LOSS: 6}},
    }
    text = lines.section({"vae": counts})
    assert f"| {MODEL} | **3** | 30 | 4 | 5 |" in text
    assert f"| {LOSS} | 9 | 90 | **2** | 6 |" in text
    assert "| all | 12 | 120 | **6** | 11 |" in text
    assert all(f"| {name} |" in text for name in CONCERNS)
    assert lines.summary({"vae": counts}) == [("lines of code that run, vae", "12", "6", "")]
