import json
import os

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from jaxgan.config import Run
from jaxgan.errors import UserError
from jaxgan.runs import checkpoints
from jaxgan.runtime import cluster, distributed, jax_internals
from jaxgan.runtime.cluster import Process, find_process
from jaxgan.runtime.program import Carry

SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[001-002]", "SLURM_NTASKS": "2"}
SLURM |= {"SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
OPEN_MPI_4 = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911", "OMPI_COMM_WORLD_SIZE": "4"}
OPEN_MPI_4 |= {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}


@pytest.fixture
def environment(monkeypatch):
    """Sets the variables of a launcher, and none of another that these tests may run under."""
    for name in [n for n in os.environ if n.startswith(("SLURM_", "OMPI_", "PMI", "JAX_COORD", "KUBERNETES_"))]:
        monkeypatch.delenv(name)
    return lambda variables: [monkeypatch.setenv(*item) for item in variables.items()]


def test_without_flags_and_launcher_a_process_is_alone(environment):
    environment({})
    assert distributed.initialize(Run(), program="toy") is None
    assert not jax.distributed.is_initialized()
    assert distributed.is_main_process()


def test_flags_say_which_process_this_is(environment):
    environment({})
    assert find_process(Run(coordinator="10.0.0.2:1234", process_count=3, process_index=2)) == Process(
        3, 2, "10.0.0.2:1234"
    )


@pytest.mark.parametrize(
    ("variables", "count", "index", "host"), [(SLURM, 2, 1, "node001"), (OPEN_MPI_4, 4, 3, "10.96.0.1")]
)
def test_slurm_and_open_mpi_say_it_too_and_flags_win_over_them(variables, count, index, host, environment):
    environment(variables)
    found = find_process(Run())
    assert found[:2] == (count, index)
    assert found.coordinator.startswith(f"{host}:")
    assert find_process(Run(coordinator="here:99")) == Process(count, index, "here:99")
    assert find_process(Run(process_index=0)).index == 0


@pytest.mark.parametrize("alone", [{"process_count": 1}, {}])
def test_one_task_of_a_launcher_is_alone(alone, environment):
    environment(SLURM if alone else SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"})
    assert find_process(Run(**alone)) is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"process_count": 2}, "--coordinator: must be given with --process-count and --process-index"),
        ({"process_index": 0}, "--coordinator: must be given with --process-count and --process-index"),
        ({"coordinator": "a:1", "process_count": 2}, "--process-index: must be given with --coordinator and"),
        ({"coordinator": "a:1", "process_count": 2, "process_index": 2}, "--process-index: 2 is not allowed, 2 proc"),
        ({"coordinator": "a", "process_count": 2, "process_index": 1}, "--coordinator: 'a' is not allowed, it must be"),
        ({"coordinator": "a:x", "process_count": 2, "process_index": 1}, "HOST:PORT, such as 10.0.0.2:1234"),
        ({"coordinator": "http://a:1", "process_count": 2, "process_index": 1}, "HOST:PORT, such as 10.0.0.2:1234"),
        ({"coordinator": "a:99999", "process_count": 2, "process_index": 1}, "--coordinator: 'a:99999' is not allowed"),
    ],
)
def test_flags_that_say_too_little_or_too_much_are_refused(flags, words, environment):
    environment({})
    with pytest.raises(UserError) as error:
        find_process(Run(**flags))
    assert words in str(error.value)


def test_processes_that_jax_cannot_tell_apart_are_refused(environment, monkeypatch):
    environment({"OMPI_COMM_WORLD_SIZE": "2"})
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="mpirun started 2 processes"):
        find_process(Run())


def test_a_cluster_that_does_not_answer_leaves_the_process_alone(environment, monkeypatch, caplog):
    class Silent:
        opt_in_only_method = False

        @classmethod
        def is_env_present(cls):
            raise ConnectionError("no metadata server")

    environment({})
    monkeypatch.setattr(jax_internals, "cluster_types", lambda: [Silent])
    assert find_process(Run()) is None
    assert "no metadata server" in caplog.text


class Forbidden:
    """A cluster that counts its processes, or does not, and says no more."""

    name, opt_in_only_method, count = "k8s", False, None

    @classmethod
    def is_env_present(cls):
        return True

    @classmethod
    def get_process_count(cls):
        if cls.count is None:
            raise RuntimeError("Kubernetes API Error: 403 - Forbidden\nIt appears that")
        return cls.count

    @classmethod
    def get_process_id(cls):
        raise RuntimeError("Kubernetes API Error: 403 - Forbidden")

    get_coordinator_address = get_process_id


def test_a_pod_that_may_not_ask_its_cluster_goes_on_alone(environment, monkeypatch, caplog):
    environment({})
    monkeypatch.setattr(jax_internals, "cluster_types", lambda: [Forbidden])
    assert find_process(Run()) is None
    (record,) = caplog.records
    assert "k8s does not answer get_process_count" in record.getMessage()
    assert "403" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_one_of_many_that_may_not_ask_for_its_place_is_told_the_flags(environment, monkeypatch):
    environment({})
    monkeypatch.setattr(jax_internals, "cluster_types", lambda: [type("Counted", (Forbidden,), {"count": 4})])
    with pytest.raises(UserError, match="--coordinator: must be given with --process-count and --process-index"):
        find_process(Run())
    assert find_process(Run(coordinator="a:1", process_count=4, process_index=3)) == Process(4, 3, "a:1")


BATCH = {name: value for name, value in SLURM.items() if name != "SLURM_STEP_NODELIST"} | {"SLURM_PROCID": "0"}


@pytest.mark.parametrize("variables", [BATCH, SLURM | {"SLURM_PTY_PORT": "9"}])
def test_a_job_of_many_tasks_without_srun_is_told_at_once(variables, environment):
    environment(variables)
    with pytest.raises(UserError, match="this Slurm job has 2 tasks but one process; start it with srun, or give"):
        find_process(Run())
    assert find_process(Run(process_count=1)) is None
    environment({"SLURM_NTASKS": "1"})
    assert find_process(Run()) is None


def test_saving_does_not_count_in_the_agreement_on_a_signal(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", asked.append)
    with checkpoints.checkpoint_manager(tmp_path) as manager:
        checkpoints.save(manager, Carry({"x": np.zeros(2)}, {}, np.zeros((), np.int32)), step=3)
    assert checkpoints.latest_step(tmp_path) == 3
    assert asked == []


def test_a_process_that_is_alone_gathers_and_broadcasts_its_own_answer():
    assert distributed.all_gather_text("topic", "mine") == ["mine"]
    assert distributed.broadcast_from_main(7) == 7
    assert distributed.on_all_processes("work", lambda: 3) == 3
    with pytest.raises(UserError, match="no"):
        distributed.on_all_processes("work", lambda: (_ for _ in ()).throw(UserError("no")))


def test_processes_must_be_given_the_same_flags(monkeypatch):
    given = [json.dumps({"seed": seed}) for seed in ("1", "2")]
    monkeypatch.setattr(distributed, "all_gather_text", lambda topic, text: given)
    with pytest.raises(UserError, match="--seed: 2 in process 1 but 1 in process 0; give all the same"):
        distributed.require_same_flags({"seed": "1"})
