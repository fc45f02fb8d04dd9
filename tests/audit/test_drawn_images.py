"""A version is audited by images as it draws them, not by those alone that the set's filters left over."""

import numpy as np
import pytest
from filled_dataset import SIDE
from test_audit import pictures

from mammogan import config
from mammogan.audit import audit_dataset, inspection
from mammogan.data.dataset import Dataset
from mammogan.results import Outcome

SETTINGS = config.override(config.PRESETS["demo"], {"evaluate.extractor": "random", "audit.fakes": 8})


@pytest.mark.parametrize(
    ("made", "drawn"),
    [
        ({"synthesise.min_distance": 0.5}, 8),
        ({"synthesise.min_realism": 0.5}, 8),
        ({"synthesise.truncation": 0.7}, 8),
        ({}, 0),
    ],
)
def test_a_generator_whose_copies_the_set_left_out_is_refused_by_images_that_it_draws(dataset, tmp_path, made, drawn):
    """The set has as many images as an audit takes; those that copy were left out, or another truncation hides them."""
    copies, asked = Dataset.read(dataset).train.of(1).images(), []

    def more(count):
        asked.append(count)
        return copies[:count]

    settings = config.override(SETTINGS, made)
    fakes = pictures(9, 1, SIDE)
    audit = audit_dataset(dataset, settings, tmp_path / "audit", fakes=fakes, label=1, more=more)
    assert (sum(asked), audit.counts.drawn, audit.counts.exact_copies) == (drawn, drawn, drawn)
    assert audit.outcome is (Outcome.REFUSED if drawn else Outcome.PASSED)


@pytest.mark.parametrize(
    ("given", "drawn", "most", "expected"),
    [(3, 0, 9, [0, 1, 2]), (3, 5, 8, range(8)), (100, 8, 8, [0, 33, 66, 99, 100, 102, 105, 107]), (5, 0, 2, [0, 4])],
)
def test_both_parts_are_compared_however_large_the_set_is(given, drawn, most, expected):
    np.testing.assert_array_equal(inspection._chosen(given, drawn, most), expected)
