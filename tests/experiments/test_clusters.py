import re
import shlex
import subprocess
from pathlib import Path

import dcgan
import pytest
import yaml

from jaxgan import config
from jaxgan.runs.flags import read_flags

FILES = sorted((Path(dcgan.__file__).parent / "clusters").iterdir(), key=lambda path: path.name)
SCRIPTS = [path for path in FILES if path.suffix != ".yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_recipe_is_started_with_flags_that_it_has(path):
    (flags,) = re.findall(r"experiments/dcgan\.py (--.*?)(?: && .*)?$", path.read_text(), re.MULTILINE)
    words = shlex.split(flags if flags.count('"') % 2 == 0 else flags.rstrip('"'))
    config.validate(read_flags(dcgan.CONFIG, words))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_says_what_a_preemption_loses_and_how_to_go_on(path):
    head = path.read_text().partition("\n\n")[0]
    assert "# Preempted: " in head
    assert "# Resumed: " in head


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_clean_for_shellcheck(path):
    found = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_hosts_of_a_jobset_run_at_once_with_all_chips_of_the_slice():
    tree = yaml.safe_load(next(path for path in FILES if path.name == "jobset.yaml").read_text())
    assert (tree["apiVersion"], tree["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = tree["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    assert spec["parallelism"] == spec["completions"]
    rows, columns = map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    chips = pod["containers"][0]["resources"]["limits"]["google.com/tpu"]
    assert chips * spec["parallelism"] == rows * columns
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {
        each["name"] for each in pod["volumes"]
    }
