import numpy as np
import pytest

from jaxgan.data.order import epoch_order


def test_an_epoch_visits_every_example_once():
    assert sorted(epoch_order(1000, seed=0, epoch=0)) == list(range(1000))
    assert epoch_order(1000, seed=0, epoch=0).dtype == np.int32


@pytest.mark.parametrize(("seed", "epoch"), [(0, 1), (1, 0), (1, 1)])
def test_the_order_follows_seed_and_epoch(seed, epoch):
    same = np.mean(epoch_order(1000, seed=0, epoch=0) == epoch_order(1000, seed=seed, epoch=epoch))
    assert same < 0.02
    np.testing.assert_array_equal(epoch_order(1000, seed=seed, epoch=epoch), epoch_order(1000, seed=seed, epoch=epoch))


def test_the_order_stays_what_it_was_when_runs_were_recorded():
    assert epoch_order(10, seed=3, epoch=7).tolist() == [6, 2, 4, 7, 1, 9, 5, 8, 3, 0]
