from types import SimpleNamespace

import jax
import pytest

from jaxgan.errors import UserError
from jaxgan.runtime.devices import front_end, select_devices


@pytest.mark.parametrize(("batch_size", "count"), [(20, 5), (64, 8), (7, 7), (11, 1)])
def test_a_run_takes_the_most_devices_that_divide_the_batch(batch_size, count):
    assert len(select_devices(batch_size=batch_size)) == count


@pytest.mark.parametrize(("replicas", "batch_size", "count"), [(8, 7, 8), (16, 7, 8), (3, 8, 8), (6, 9, 6), (5, 1, 5)])
def test_devices_share_replicas_first_and_then_a_batch(replicas, batch_size, count):
    assert len(select_devices(batch_size=batch_size, replicas=replicas)) == count


def test_choosing_devices_changes_no_default_of_jax():
    before = jax.config.jax_default_device
    select_devices(platform="cpu", count=2, batch_size=4)
    assert jax.config.jax_default_device is before


def test_a_platform_that_is_absent_is_named_with_what_there_is():
    with pytest.raises(UserError, match="--platform: 'gpu' is not available, JAX finds cpu"):
        select_devices(platform="gpu")


@pytest.mark.parametrize(("platform", "chosen"), [("cpu", "shard_map"), ("gpu", "pmap"), ("tpu", "pmap")])
def test_auto_is_shard_map_where_it_takes_compiler_options(platform, chosen):
    devices = [SimpleNamespace(platform=platform)]
    assert front_end("auto", devices) == chosen
    assert {front_end(given, devices) for given in ("pmap", "shard_map")} == {"pmap", "shard_map"}
