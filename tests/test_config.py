import dataclasses
import inspect
import itertools
import json
from pathlib import Path

import pytest

from jaxgan.config import Config, Run, changed_fields, from_json, replica_configs, to_json, validate
from jaxgan.errors import UserError
from jaxgan.methods import METHODS, build
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs import launch


def with_fields(**fields):
    method = {k: v for k, v in fields.items() if k in VanillaGAN.__dataclass_fields__}
    run = {k: v for k, v in fields.items() if k in Run.__dataclass_fields__}
    assert len(method) + len(run) == len(fields)
    return Config(VanillaGAN(**method), Run(**run))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": 0}, "--epochs: 0 is not allowed, it must be at least 1"),
        ({"batch_size": -3}, "--batch-size: -3"),
        ({"hidden_layers": 0}, "--hidden-layers: 0"),
        ({"dropout_rate": 1.0}, "--dropout-rate: 1.0 is not allowed, it must be at least 0 and below 1"),
        ({"generator_learning_rate": float("nan")}, "--generator-learning-rate: nan"),
        ({"beta1": 1.5}, "--beta1: 1.5"),
        ({"generator_learning_rate": float("inf")}, "--generator-learning-rate: inf is not allowed"),
        ({"seed": 2**32}, "--seed: 4294967296 is not allowed, it must be at least 0 and below 4294967296"),
        ({"seed": -1}, "--seed: -1"),
        ({"devices": 0}, "--devices: 0"),
        ({"log_every": 0}, "--log-every: 0"),
        ({"sample_epochs": (1, 0)}, "--sample-epochs: 0"),
        ({"sample_epochs": 5}, "--sample-epochs: 5 is not allowed, it must be of type tuple"),
        ({"sweep": "beta1=0,0.5"}, "--sweep: 'beta1=0,0.5' is not allowed, it must be of type tuple"),
        ({"workdir": ""}, "--workdir: '' is not allowed"),
        ({"data_dir": ""}, "--data-dir: '' is not allowed"),
        ({"profile": "a:b"}, "--profile: 'a:b' is not allowed, it must be START:STOP"),
        ({"profile": "5:2"}, "such as 2:5"),
        ({"profile": "-1:3"}, "--profile: '-1:3' is not allowed"),
        ({"profile": "4:4"}, "such as 4:14"),
        ({"prior": "unifrom"}, "did you mean 'uniform'?"),
        ({"parallel": "pmapp"}, "did you mean 'pmap'?"),
        ({"epochs": True}, "--epochs: True"),
        ({"epochs": 1.5}, "--epochs: 1.5"),
        ({"keep_best": "recall"}, "--keep-best: 'recall' needs --evaluate-every"),
        ({"keep_best": "recal", "evaluate_every": 1}, "did you mean 'recall'?"),
    ],
)
def test_a_field_out_of_bounds_is_named_with_what_is_allowed(fields, words):
    with pytest.raises(UserError) as error:
        validate(with_fields(**fields))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"replicas": 0}, "--replicas: 0 is not allowed, it must be at least 1 and at most 1024"),
        ({"replicas": 2, "seed": 2**32 - 1}, "--replicas: 2 seeds from 4294967295 on are not allowed"),
        ({"replicas": 2, "input": "stream"}, "--replicas: replicas shuffle separately and need all images in memory"),
        (
            {"replicas": 2, "debug_nans": True},
            "--debug-nans: is only for a single run, not for the replicas of --replicas",
        ),
        (
            {"sweep": ("beta1=0,0.5",), "keep_best": "recall", "evaluate_every": 1},
            "--keep-best: 'recall' is only for a single",
        ),
        (
            {"sweep": ("beta1",)},
            "--sweep: 'beta1' is not allowed, it must be FIELD=NUMBER,NUMBER, such as negative_slope=",
        ),
        (
            {"sweep": ("beta_1=0,0.5",)},
            "--sweep: field: 'beta_1' is not known, choose from beta1, .*did you mean 'beta1'",
        ),
        ({"sweep": ("hidden_units=8,16",)}, "--sweep: field: 'hidden_units' is not known, choose from beta1,"),
        ({"sweep": ("beta1=0,half",)}, "--sweep: '0,half' is not allowed for beta1, it must be NUMBER,NUMBER"),
        ({"sweep": ("beta1=0,1",)}, "--sweep: beta1: 1.0 is not allowed, it must be at least 0 and below 1"),
        ({"sweep": ("beta1=0", "beta1=0.5")}, "--sweep: 'beta1' is given twice"),
        ({"sweep": ("beta1=0,0.5",), "replicas": 1024}, "--sweep: 2048 replicas are not allowed"),
    ],
)
def test_replicas_that_cannot_be_are_refused_in_words(fields, words):
    with pytest.raises(UserError, match=f"^{words}"):
        validate(with_fields(**fields))


def test_each_combination_of_swept_values_has_as_many_seeds_as_replicas():
    config = with_fields(seed=5, replicas=2, sweep=("beta1=0,0.5", "generator-learning-rate=1e-4,2e-4"))
    found = replica_configs(from_json(to_json(config), source="here"))
    own = [(each.method.beta1, each.method.generator_learning_rate, each.run.seed) for each in found]
    assert own == list(itertools.product((0.0, 0.5), (1e-4, 2e-4), (5, 6)))
    assert not any(each.run.several for each in found)
    assert replica_configs(with_fields()) == [with_fields()]


def test_a_config_comes_back_from_json(tmp_path):
    config = with_fields(workdir=tmp_path, data_dir=tmp_path, sample_epochs=(3, 5), prior="normal", log_every=7)
    assert from_json(to_json(config), source="here") == config
    assert json.loads(to_json(config))["method"]["kind"] == "vanilla_gan"


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: "{",
        lambda tree: "[]",
        lambda tree: json.dumps({"run": tree["run"]}),
        lambda tree: json.dumps(tree | {"method": tree["method"] | {"kind": "vanila_gan"}}),
        lambda tree: json.dumps(tree | {"run": tree["run"] | {"colour": 1}}),
        lambda tree: json.dumps(tree | {"run": tree["run"] | {"epochs": "many"}}),
        lambda tree: json.dumps(tree | {"run": tree["run"] | {"sample_epochs": ["one"]}}),
    ],
)
def test_a_damaged_config_is_refused_in_one_line_that_names_the_file(damage):
    text = damage(json.loads(to_json(with_fields())))
    with pytest.raises(UserError, match=r"^run/config\.json: ") as error:
        from_json(text, source="run/config.json")
    assert "\n" not in str(error.value)


def test_a_config_from_before_a_field_was_added_has_its_default():
    tree = json.loads(to_json(with_fields(epochs=5)))
    del tree["run"]["log_every"]
    assert from_json(json.dumps(tree), source="here") == with_fields(epochs=5)


def test_a_field_is_read_by_its_earlier_name_too():
    tree = json.loads(to_json(with_fields(prior="normal")))
    tree["method"]["latent_law"] = tree["method"].pop("prior")
    assert from_json(json.dumps(tree), source="here") == with_fields(prior="normal")


def test_flow_matching_from_before_images_were_predicted_has_velocities():
    tree = json.loads(to_json(Config(METHODS["flow_matching"].config())))
    del tree["method"]["prediction"]
    assert from_json(json.dumps(tree), source="here").method.prediction == "velocity"


@pytest.mark.parametrize("wrong", [VanillaGAN, "vanilla_gan", Config(VanillaGAN()), None])
def test_what_is_no_method_s_config_is_refused_in_words(wrong):
    for use in (lambda: validate(Config(wrong)), lambda: build(wrong, image_shape=(4, 4, 1))):
        with pytest.raises(UserError, match=r"^method: .* VanillaGAN\(\)"):
            use()
    for config in (VanillaGAN(), Config(VanillaGAN(), {"epochs": 3})):
        with pytest.raises(UserError, match=r"^config: .* must be jaxgan.Config\(METHOD, jaxgan.Run\(...\)\)"):
            launch.run(config)


@pytest.mark.parametrize(
    ("fields", "image_shape", "words"),
    [
        ({"dropout_rate": 2.0}, (4, 4, 1), "--dropout-rate: 2.0 is not allowed"),
        ({"prior": "Norml"}, (4, 4, 1), "--prior: 'Norml' is not known, choose from .*; did you mean 'normal'"),
        ({}, (4, 4), r"image_shape=: \(4, 4\) is not allowed, it must be height, width and channels"),
        ({}, (4, 0, 1), "image_shape=: .* is not allowed"),
    ],
)
def test_a_method_is_built_of_what_is_allowed_alone(fields, image_shape, words):
    with pytest.raises(UserError, match=words):
        build(VanillaGAN(**fields), image_shape=image_shape)


def test_paths_may_be_text_and_begin_with_a_tilde():
    assert Run(workdir="runs/mine").workdir == Path("runs/mine")
    assert Run(workdir="~/mine").workdir == Path.home() / "mine"
    assert Run(workdir="~nobody-by-this-name/mine").workdir == Path("~nobody-by-this-name/mine")


def test_changed_fields_names_what_the_numbers_depend_on_and_no_more():
    old = with_fields()
    free = {"epochs": 5, "log_every": 3, "devices": 2, "resume": "must", "sample_epochs": (7,), "profile": "1:2"}
    free |= {"evaluate_every": 3, "keep_best": "precision"}
    assert changed_fields(old, with_fields(**free)) == []
    moved = with_fields(data="elsewhere/pictures.zip")  # the record of the pictures tells whether they are the same
    assert changed_fields(with_fields(data="./pictures.zip"), moved) == []
    assert changed_fields(old, moved) == [f"--data (mnist in the run, {moved.run.data} asked for)"]
    changes = changed_fields(old, with_fields(seed=1, latent_size=9))
    assert changes == ["--latent-size (20 in the run, 9 asked for)", "--seed (0 in the run, 1 asked for)"]


def test_every_field_of_a_run_has_a_help_text_beside_it():
    lines = inspect.getsource(Run).splitlines()
    for field in dataclasses.fields(Run):
        assert "  # " in next(line for line in lines if line.strip().startswith(f"{field.name}:"))


@pytest.mark.parametrize(
    ("fields", "way_out"), [({}, "add --dry-run"), ({"dry_run": True, "replicas": 2}, "leave out replicas")]
)
def test_a_target_is_for_a_dry_run_of_one_run(fields, way_out):
    with pytest.raises(UserError, match=f"^--target: 'v5e:1x1' is only for a dry run of a single run, {way_out}"):
        validate(Config(VanillaGAN(), Run(target="v5e:1x1", **fields)))


def test_an_address_needs_a_folder_for_the_user_s_caches(monkeypatch):
    def homeless():
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UserError, match="there is no home; set XDG_CACHE_HOME"):
        Run(workdir="gs://bucket/run")
