import re

import pytest

from tests.pages import PAGES, ROOT, prose


def links(page):
    """Text and target of every link and image."""
    return re.findall(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", prose(page))


def anchors(path):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page, target):
    """Whether the file of a link, and the heading it names, exist; pages of others are not looked at."""
    path, _, anchor = target.partition("#")
    linked = PAGES[page].parent / path if path else PAGES[page]
    return target.startswith("http") or (linked.exists() and (not anchor or anchor in anchors(linked)))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page):
    assert len(links(page)) > 10
    assert [target for _, target in links(page) if not leads_somewhere(page, target)] == []


def defines(path, module, name):
    """Whether a Python file has a module's name and defines a name at its top."""
    found = path.is_file() and re.search(rf"^(?:def |class )?{name}\b", path.read_text(), re.MULTILINE)
    return path.stem == module and bool(found)


def test_a_linked_function_is_defined_in_the_linked_file():
    named = [(re.fullmatch(r"`(\w+)\.(\w+)`", text), target) for text, target in links("tour")]
    named = [(*name.groups(), ROOT / "experiments" / target) for name, target in named if name and name[2] != "py"]
    assert len(named) > 20
    assert [f"{module}.{name}" for module, name, path in named if not defines(path, module, name)] == []


def test_results_in_the_readme_stand_in_the_linked_reports():
    section = PAGES["README"].read_text().partition("## Results")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "](" in line]
    assert rows
    for row in rows:
        reports = "".join((ROOT / target).read_text() for target in re.findall(r"\]\((\S+\.md)\)", row))
        for number in re.findall(r"(?<!\w)\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", row.split("|")[2]):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", reports), f"{number} of {row}"
