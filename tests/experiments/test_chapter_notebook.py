import ast
import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import jaxgan
from jaxgan import cli, figures

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FILE = EXPERIMENTS / "chapter.ipynb"
CELLS = nbformat.read(FILE, 4).cells
TEXT = "\n\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")
# Without IPython's own commands, which begin with a percent sign.
CODE = "\n".join(re.sub(r"^( *)%.*", r"\1pass", c.source, flags=re.MULTILINE) for c in CELLS if c.cell_type == "code")
# Few of the real digits, for a run of the notebook that only tries the cells.
FEW = """
from jaxgan import data

every = data.load


def few(*name, **how):
    found = every(*name, **how)
    return found._replace(images=found.images[:600], labels=found.labels[:600])


data.load = few
"""
SECTIONS = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_sections_are_those_of_the_tour_in_its_order_and_lead_there():
    headings = re.findall(r"^## (.*)$", (EXPERIMENTS / "README.md").read_text(), re.MULTILINE)
    assert len(SECTIONS) == 8
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS
    links = re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", TEXT)
    led = [name for _, name in links if name]
    assert [name for name in led if name in map(anchor, SECTIONS)] == [anchor(section) for section in SECTIONS]
    assert set(led) <= set(map(anchor, headings))
    assert "OWNER" not in TEXT  # a badge leads somewhere
    assert all((EXPERIMENTS / path).exists() for path, _ in links)


def test_names_recipes_fields_and_commands_of_the_notebook_exist():
    tree = ast.parse(CODE)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("jaxgan" | "figures" as module), name):
                assert hasattr({"jaxgan": jaxgan, "figures": figures}[module], name), name
            case ast.Call(ast.Name("train"), [ast.Constant(recipe), *_], keywords):
                config = jaxgan.RECIPES[recipe].config
                known = {*vars(config.method), *vars(config.run), "epochs"}
                assert {keyword.arg for keyword in keywords} <= known
    commands = re.findall(r"`jaxgan (\w+)", TEXT)
    assert commands
    assert set(commands) <= set(cli.COMMANDS)


def test_pictures_of_every_section_are_in_the_file_and_it_is_small():
    assert FILE.stat().st_size < 1.5e6
    for section, cells in sections().items():
        kinds = {kind for cell in cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
        assert "image/png" in kinds or section == "Judging samples", section
    outputs = json.dumps([cell.get("outputs") for cell in CELLS if cell.cell_type == "code"])
    assert f"{Path.home()}/" not in outputs
    assert "\\r" not in outputs
    assert '"error"' not in outputs


def sections():
    """The cells below each heading."""
    found, section = {}, None
    for cell in CELLS:
        if cell.source.startswith("## "):
            section = found.setdefault(cell.source.splitlines()[0].removeprefix("## "), [])
        if section is not None:
            section.append(cell)
    return found


@pytest.mark.slow
def test_the_notebook_runs_on_a_few_images(mnist_dir, tmp_path, monkeypatch):
    environment = {"BUDGET": "0", "TFDS_DATA_DIR": str(mnist_dir)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    book = nbformat.read(FILE, 4)
    book.cells.insert(0, nbformat.v4.new_code_cell(FEW))
    client = NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute(env=dict(os.environ))
    shown = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    lines = [output["data"]["text/plain"] for output in shown if "text/plain" in output.get("data", {})]
    trained = [line for line in lines if re.match(r"epoch 1/1 step", line)]
    assert len(trained) == len(re.findall(r"^\w+ = train\(", CODE, re.MULTILINE)) == 6  # the last line of each alone
    assert sum("image/png" in output.get("data", {}) for output in shown) > 10
