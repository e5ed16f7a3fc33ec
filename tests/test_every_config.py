import dataclasses
import inspect
import itertools
import math
import re
from functools import partial

import pytest

from jaxgan import config as configs
from jaxgan.config import Config, Run
from jaxgan.errors import UserError
from jaxgan.methods import METHODS
from jaxgan.runs import launch
from jaxgan.runs.flags import read_flags
from tests.tiny import options, tiny, variants

EVERY = pytest.mark.parametrize("kind", METHODS)


@EVERY
def test_every_field_is_explained_beside_it_and_in_the_help(kind, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    classes = filter(dataclasses.is_dataclass, METHODS[kind].config.__mro__)
    source = "\n".join(inspect.getsource(each) for each in classes)
    with pytest.raises(SystemExit, match="0"):
        read_flags(Config(METHODS[kind].config()), ["--help"])
    shown = " ".join(re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]", " ", capsys.readouterr().out).split())
    for field in dataclasses.fields(METHODS[kind].config):
        found = re.search(rf"^    {field.name}: .*  # (.+)$", source, re.MULTILINE)
        assert found, f"{field.name} has no comment"
        assert f"--{field.name.replace('_', '-')}" in shown or f"--no-{field.name.replace('_', '-')}" in shown
        assert found[1] in shown, field.name
    assert METHODS[kind].config.__doc__


@EVERY
def test_every_number_of_a_config_is_bounded(kind):
    default = METHODS[kind].config()
    configs.validate(Config(default))
    for field, hints in options(kind):
        flag = f"--{field.name.replace('_', '-')}"
        if float in hints or int in hints:
            low, high, is_open = (field.metadata[bound] for bound in ("low", "high", "open_high"))
            beyond = high if is_open or high == math.inf else high + 1
            wrong = [low - 1, beyond, "1", True] + [math.nan] * (float in hints) + [0.5] * (float not in hints)
        else:
            wrong = ["no such choice", 0.5]
        for value in wrong:
            with pytest.raises(UserError, match=f"^{re.escape(flag)}: "):
                configs.validate(Config(dataclasses.replace(default, **{field.name: value})))


@EVERY
def test_every_field_survives_json(kind):
    for config in itertools.chain(variants(kind), [METHODS[kind].config()]):
        whole = Config(config, Run(epochs=3))
        assert configs.from_json(configs.to_json(whole), source="config.json") == whole


@EVERY
def test_an_unknown_kind_in_a_config_is_a_one_line_error(kind, tmp_path, refused, toy_data):
    config = Config(tiny(kind), Run(workdir=tmp_path, batch_size=20, devices=1))
    text = configs.to_json(config).replace(f'"{kind}"', f'"{kind}s"')
    (tmp_path / "config.json").write_text(text)
    line = refused(partial(launch.main, config))
    assert f"'{kind}s' is not known" in line
    assert f"did you mean {kind!r}?" in line
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
