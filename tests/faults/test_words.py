"""A message never contradicts itself: what it allows can be had, and what it refuses lies beyond."""

import dataclasses
import re

import numpy as np
import pytest

from jaxgan import data_commands
from jaxgan.config import Config, Run, validate
from jaxgan.data import Dataset
from jaxgan.errors import UserError, unknown_choice
from jaxgan.evaluation.protocol import check_count
from jaxgan.methods import METHODS

CONFIGS = [Run(), *(entry.config() for entry in METHODS.values())]
BOUNDED = [(config, f) for config in CONFIGS for f in dataclasses.fields(config) if "low" in f.metadata]


def bounds_in(message):
    """The bounds that a message names, infinite where it names none."""

    def number(words, otherwise):
        found = re.search(rf"{words} ([0-9.,e+-]+)", message)
        return float(found.group(1).replace(",", "").rstrip(".")) if found else otherwise

    return number("at least", -np.inf), number("(?:at most|below)", np.inf)


@pytest.mark.parametrize("count", [0, 99, 100, 240, 241, 10_000])
@pytest.mark.parametrize("most", [0, 99, 100, 240, 50_000])
def test_a_number_of_samples_that_is_refused_is_beyond_what_is_allowed(count, most):
    if 100 <= count <= most:
        assert check_count(count, most=most) == count
        return
    with pytest.raises(UserError) as error:
        check_count(count, most=most)
    low, high = bounds_in(str(error.value))
    assert low <= high
    assert not low <= count <= high or (count >= 100 > most)  # a file with too few has no number to offer


@pytest.mark.parametrize(("config", "field"), BOUNDED, ids=lambda value: getattr(value, "name", type(value).__name__))
def test_a_field_beyond_its_bounds_is_told_bounds_that_it_is_beyond(config, field):
    low, high = field.metadata["low"], field.metadata["high"]
    assert low < high
    for value in {low - 1, min(high, 2.0**40) + 1} - ({2.0**40 + 1} if high == np.inf else set()):
        value = int(value) if isinstance(field.default, int | None) else float(value)
        changed = dataclasses.replace(config, **{field.name: value})
        whole = Config(METHODS["dcgan"].config(), changed) if isinstance(config, Run) else Config(changed, Run())
        with pytest.raises(UserError, match=f"^--{field.name.replace('_', '-')}: ") as error:
            validate(whole)
        told = bounds_in(str(error.value))
        assert told[0] <= told[1]
        assert not told[0] <= value <= told[1] or value == high


def test_where_there_is_no_choice_none_is_offered():
    assert str(unknown_choice("--split", "test", [])) == "--split: 'test' is not known, no value is allowed"


def test_a_class_without_images_is_no_number_of_columns():
    images, labels = np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 0, 1], np.int32)
    with pytest.raises(UserError, match="'toy' has a class without images"):
        data_commands.first_of_each_class(Dataset("toy", images, labels, ("a", "b", "c")), columns=1)
