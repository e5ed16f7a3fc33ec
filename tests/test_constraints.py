"""The versions that the reports were measured with: one of each dependency, and none that pyproject.toml refuses."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def test_constraints_pin_each_dependency_within_its_bounds():
    lines = [line for line in (ROOT / ".ci/constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines)
    versions = {canonicalize_name(name): version for name, version in pinned.items()}
    assert len(versions) == len(lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["test"], *extras["imperative"]]:
        needed = Requirement(text)
        assert needed.specifier.contains(versions[canonicalize_name(needed.name)]), text
