import contextlib
import dataclasses
import functools
import importlib
import io
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from jaxgan import cli, config, data, methods
from jaxgan.data import Dataset
from jaxgan.methods.classifier import Classifier
from jaxgan.methods.vae import VAE
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.recipes import keep_weights
from jaxgan.runs import launch
from jaxgan.runs.flags import read_flags
from jaxgan.runs.workdir import Workdir
from jaxgan.tiles import to_png
from tests.pages import PAGES, ROOT, blocks, prose

SMALL_METHOD = {"width": 2, "max_width": 2, "blocks": 1, "hidden_units": 6}
SMALL_RUN = {"epochs": 1, "batch_size": 16, "checkpoint_every": 1, "sample_epochs": (1,), "data": "mnist"}
SMALL_RUN |= {"input": "memory", "image_size": None, "profile": None, "evaluate_every": None, "keep_best": "none"}
SMALL_RUN |= {"coordinator": None, "process_count": None, "process_index": None}  # one process
SMALL_RUN |= {"dry_run": False, "target": None, "mirror": None}
# What starts a documented command: a script below experiments/, perhaps on another machine, or the jaxgan program.
STARTS = rf"(?:python \S*experiments/\S+\.py|\bjaxgan (?:data|{'|'.join(cli.COMMANDS)})\b)[^\"|;`]*"


class Command(NamedTuple):
    """A documented command."""

    program: str  # a script below experiments/, or jaxgan
    arguments: tuple[str, ...]

    def __str__(self):
        return shlex.join([self.program, *self.arguments])

    @property
    def module(self):
        try:
            return importlib.import_module(self.program.removesuffix(".py").replace("/", "."))
        except SystemExit:  # as a study against PyTorch ends without it
            pytest.importorskip("torch")
            raise

    @property
    def is_recipe(self):
        path = ROOT / "experiments" / self.program
        return path.is_file() and "\nCONFIG = " in path.read_text()

    @property
    def config(self):
        return config_of(self)


@functools.cache  # parsing takes time, and several tests need the same config
def config_of(command):
    """The config that a recipe's flags describe."""
    return read_flags(command.module.CONFIG, list(command.arguments))


def documented():
    """Every documented command, from blocks and from text, once."""
    texts = [line for page in PAGES for block in blocks(page, "bash", "ipython") for line in block.splitlines()]
    return commands(texts + [text for page in PAGES for text in re.findall(r"`([^`\n]*)`", prose(page))])


def commands(texts):
    """The commands in some lines, once."""
    found = []
    for text in texts:
        for command in re.findall(STARTS, text.replace("$i", "0")):
            words = shlex.split(re.split(r" && | & ?", command)[0].rstrip("& "), comments=True)
            if words[:2] == ["jaxgan", "train"] and words[2:]:
                words = ["python", f"experiments/{words[2]}.py", *words[3:]]  # the same recipe, by its script
            program = "jaxgan" if words[0] == "jaxgan" else words.pop(1).partition("experiments/")[2]
            found.append(Command(program, tuple(words[1:])))
    return list(dict.fromkeys(found))


COMMANDS = documented()
RECIPES = [command for command in COMMANDS if command.is_recipe]


@functools.cache  # many commands have the same help
def help_of(command):
    """What a command without flags prints with --help."""
    output, program = io.StringIO(), cli.main if command.program == "jaxgan" else command.module.main
    with contextlib.redirect_stdout(output), pytest.raises(SystemExit) as stopped:
        program([*command.arguments, "--help"])
    assert stopped.value.code == 0
    return output.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_shell_blocks_are_valid_bash(page):
    for block in blocks(page, "bash"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_documented_command_is_understood(command):
    if command.is_recipe:
        config.validate(command.config)
        assert methods.build(command.config.method, image_shape=(28, 28, 1)).networks
    elif command.program == "jaxgan" or hasattr(command.module, "main"):
        subcommand = (command.program == "jaxgan") + (command.arguments[:1] == ("data",))
        words = help_of(command._replace(arguments=command.arguments[:subcommand]))
        assert all(flag.partition("=")[0] in words for flag in command.arguments if flag.startswith("--"))
    else:  # a file that runs as it stands
        assert command.arguments == ()


def test_flags_to_change_are_flags_of_the_section_s_recipe():
    tried = 0
    for section in PAGES["tour"].read_text().split("\n## "):
        recipes = [command for command in commands(section.splitlines()) if command.is_recipe]
        for change in re.findall(r"^\*\*Change\.\*\* (.*)$", section, re.MULTILINE) if recipes else []:
            for flags in re.findall(r"`(--[^`]*)`", change):
                config.validate(recipes[0]._replace(arguments=tuple(shlex.split(flags))).config)
                tried += 1
    assert tried > 15


def small(command):
    """The config of a recipe's command at a small size."""
    method, run = command.config.method, command.config.run
    sizes = {name: size for name, size in SMALL_METHOD.items() if hasattr(method, name)}
    return config.Config(dataclasses.replace(method, **sizes), dataclasses.replace(run, **SMALL_RUN, workdir=Path()))


def different():
    """One of the documented recipes for each that trains another program: of its real numbers only zeros matter."""
    of = {}
    for command in RECIPES:
        if command.program != "celeba.py":  # it trains the networks of cifar10.py
            made = small(command)
            fields = [bool(value) if isinstance(value, float) else value for value in vars(made.method).values()]
            of.setdefault((command.program, *fields, made.run), command)
    return of.values()


@pytest.mark.slow
@pytest.mark.parametrize("command", different(), ids=str)
def test_a_documented_recipe_trains_on_small_images(command, toy_data, tmp_path):
    made = small(command)
    launch.run(
        dataclasses.replace(made, run=dataclasses.replace(made.run, workdir=tmp_path, devices=made.run.devices or 1))
    )
    assert Workdir(tmp_path).metrics.exists()
    assert any(Workdir(tmp_path).figures.iterdir())


@pytest.fixture(scope="module")
def documented_runs(mnist_dir, tmp_path_factory):
    """A home in which the data, the pictures and the runs that documented commands name are there, in small."""
    home = tmp_path_factory.mktemp("home")
    (home / "tensorflow_datasets").symlink_to(mnist_dir)
    digits = data.load("mnist", data_dir=mnist_dir)
    (home / "my_pictures").mkdir()
    for number in range(20):
        (home / "my_pictures" / f"{number}.png").write_bytes(to_png(digits.images[number]))
    few = digits._replace(images=digits.images[:100], labels=digits.labels[:100])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(data, "load", lambda *name, **how: few)
        small = {"dcgan": VanillaGAN(hidden_units=6), "wgan": VanillaGAN(hidden_units=5)}  # quicker than their names
        small |= {"cvae": VAE(hidden_units=6, conditional=True), "five": small["wgan"], "judge": Classifier(width=2)}
        for name, method in small.items():
            replicas = 4 if name == "five" else 1
            run = config.Run(
                Path("runs", name), epochs=1, batch_size=50, sample_epochs=(1,), devices=1, replicas=replicas
            )
            launch.run(config.Config(method, run))
        keep_weights(config.Config(small["judge"], run), Path("runs/judge"))
        cli.main(["sample", "runs/dcgan", "--count", "2000", "--out", "samples.npz"])
    return home


# Not run here: what needs files or a bucket that are not there, and what other tests run. LONG ones are exhaustive.
ELSEWHERE = ("data prepare", "report gs://", "data show fashion_mnist", "evaluate: ", "completion", "train")
LONG = ("evaluate --samples", "evaluate vae", "evaluate runs/five", "report flow_matching", "sample flow_matching")


def tried():
    """The documented jaxgan commands that have all their arguments, at a small number of samples."""
    written = [command.arguments for command in COMMANDS if command.program == "jaxgan" and command.arguments[1:]]
    for words in [("runs",), *written]:
        line = " ".join(words).replace("10000", "2000")
        if not line.startswith(ELSEWHERE):
            mark = pytest.mark.exhaustive if line.startswith(LONG) else pytest.mark.slow
            yield pytest.param(line.split(), id=line, marks=mark)


@pytest.mark.parametrize("words", list(tried()))
def test_a_documented_jaxgan_command_succeeds(words, documented_runs, monkeypatch):
    if "onnx" in words:
        pytest.importorskip("jax2onnx")
    monkeypatch.chdir(documented_runs)
    monkeypatch.setenv("HOME", str(documented_runs))
    few = ["--count", "200"] if words[0] == "evaluate" and "--samples" not in words else []
    cli.main([*words, *few])


def python_blocks():
    """Page and number of each block of Python; those that train, or draw without a compiler, take seconds."""
    for page in PAGES:
        for number, block in enumerate(blocks(page, "python")):
            long = "jaxgan.run(" in block or "jaxgan.pretrained(" in block
            yield pytest.param(page, number, marks=[pytest.mark.slow] if long else [])


@pytest.mark.parametrize(("page", "number"), list(python_blocks()))
def test_python_blocks_run(page, number, monkeypatch, tmp_path):
    digits = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), dtype=np.uint8)
    dataset = Dataset("mnist", digits, np.zeros(64, np.int32), tuple("0123456789"))
    monkeypatch.setattr(data, "load", lambda name, split="train", data_dir=None, image_size=None: dataset)
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    exec(compile(blocks(page, "python")[number], f"{page}, Python block {number}", "exec"), names)
    if "build" in names:  # a new method: the contract is that it builds and steps
        added = list(methods.METHODS.values())[-1].config
        method = methods.build(added(), image_shape=(28, 28, 1))
        state = method.init(jax.random.key(0))
        batch = methods.Batch(digits / 127.5 - 1, dataset.labels, np.arange(64))
        state, metrics = jax.jit(method.step)(state, batch, jax.random.key(1))
        assert state.step == 1
        assert all(np.isfinite(value) for value in metrics.values())


def test_the_test_command_follows_its_marker():
    (command,) = re.findall(r"<!-- test command -->\n```bash\n(.*)\n```", PAGES["README"].read_text())
    assert command.startswith("python -m pip install -e '.[test]' && python -m pytest")


def test_documented_extras_exist():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for page in PAGES.values() for name in re.findall(r"-e '\.\[([^\]]*)\]'", page.read_text())}
    assert named <= set(declared)
    assert "test" in named
