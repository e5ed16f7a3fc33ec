"""The pages of documentation that tests read."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {"README": ROOT / "README.md", "tour": ROOT / "experiments" / "README.md"}


def blocks(page, *languages):
    """The fenced blocks of a page in some languages."""
    fences = rf"^```(?:{'|'.join(languages)})\n(.*?)^```$"
    return re.findall(fences, PAGES[page].read_text(), re.MULTILINE | re.DOTALL)


def prose(page):
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", PAGES[page].read_text(), flags=re.MULTILINE | re.DOTALL)
