import platform

import jax

from jaxgan.runs import environment
from jaxgan.runs.workdir import Workdir


def test_a_run_remembers_what_it_was_trained_with(finished):
    (found,) = environment.recall(finished)
    assert (found["python"], found["jax"]) == (platform.python_version(), jax.__version__)
    assert found["devices"] == f"1 {jax.devices()[0].device_kind}"
    assert finished.environment in finished.files()


def test_another_environment_is_added_and_the_same_is_not(tmp_path):
    workdir = Workdir(tmp_path)
    for count in (1, 1, 2, 1):
        environment.remember(workdir, jax.devices()[:count])
    assert [each["devices"][0] for each in environment.recall(workdir)] == ["1", "2", "1"]
    for damage in ("", "[1]", "{}", "3"):
        workdir.environment.write_text(damage)
        assert environment.recall(workdir) == []
