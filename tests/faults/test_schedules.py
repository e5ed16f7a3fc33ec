import dataclasses
from functools import partial

import pytest

from jaxgan.config import Config, Run, check_schedules
from jaxgan.errors import UserError
from jaxgan.methods import METHODS
from jaxgan.methods.vae import VAE
from jaxgan.runs import launch
from tests.training import with_run

WARMING = [name for name, entry in METHODS.items() if "warmup_steps" in entry.config.__dataclass_fields__]
DECAYING = [name for name, entry in METHODS.items() if "decay_steps" in entry.config.__dataclass_fields__]


def checked(name, steps, *, total=30):
    method = METHODS[name].config()
    method = dataclasses.replace(method, decay_steps=steps, **({"warmup_steps": 0} if name in WARMING else {}))
    return check_schedules(Config(method, Run()), total_steps=total, steps_per_epoch=3)


@pytest.mark.parametrize("name", DECAYING)
def test_a_decay_that_ends_before_the_run_is_refused(name):
    with pytest.raises(UserError) as error:
        checked(name, 10)
    assert str(error.value) == (
        "--decay-steps: 10 is not allowed, learning rates are 0 from then on and the run ends with step 30; "
        "give --epochs 3, or --decay-steps 30 in a new --workdir"
    )


@pytest.mark.parametrize("name", DECAYING)
def test_a_decay_that_the_run_does_not_end_is_told(name):
    (words,) = checked(name, 100)
    assert words == (
        "--decay-steps: learning rates fall to 0 at step 100, but the run ends with step 30; --decay-steps 30 fits"
    )
    assert checked(name, 30) == checked(name, 0) == []


@pytest.mark.parametrize("name", WARMING)
def test_a_run_that_ends_while_it_warms_up_is_told(name):
    method = dataclasses.replace(METHODS[name].config(), warmup_steps=30, decay_steps=0)
    told = lambda total: check_schedules(Config(method, Run()), total_steps=total, steps_per_epoch=3)
    assert told(30) == ["--warmup-steps: learning rates rise until step 30, but the run ends with step 30"]
    assert told(31) == []


def test_an_epoch_longer_than_the_decay_is_no_way_out():
    with pytest.raises(UserError, match=r"ends with step 30; give --decay-steps 30 in a new"):
        checked("dcgan", 2)


@pytest.fixture
def decaying(toy_config):
    """Makes a config of a run of nine steps on the toy data, whose learning rate falls to 0 in so many."""
    return lambda steps: with_run(Config(VAE(hidden_units=2, decay_steps=steps), toy_config.run), devices=1)


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_run_beyond_its_decay_is_refused_before_anything_is_written(dry, decaying, toy_data, refused):
    assert "--decay-steps: 6 is not allowed" in refused(partial(launch.main, decaying(6)), *dry)
    assert not decaying(6).run.workdir.exists()


def test_a_dry_run_tells_a_decay_that_is_too_long(decaying, toy_data, capsys):
    launch.main(decaying(12), ["--dry-run"])
    assert "--decay-steps 9 fits" in " ".join(capsys.readouterr().out.split())
