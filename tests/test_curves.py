"""PePR along a growing resource."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.scoring.curves import curve, peak, split
from harness.sources.curve_source import expand

POINTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=10)


def test_the_curve_is_performance_per_cost():
    assert curve([0.5, 0.9], [0.0, 0.5]).tolist() == [0.5, pytest.approx(0.6)]


def test_the_scalar_is_reached_at_the_smallest_cost_on_ties():
    assert peak([0.6, 0.7, 0.7], [0.0, 0.2, 0.1]) == 2


@given(POINTS)
def test_start_and_gain_less_loss_is_where_the_curve_ends(points):
    performance, cost = np.array([p for p, _ in points]), np.sort([r for _, r in points])
    start, gain, loss = split(performance, cost)

    assert start + gain - loss == pytest.approx(curve(performance, cost)[-1], abs=1e-9)


def test_gain_and_loss_are_the_integrals():
    middles = (np.arange(10_000) + 0.5) / 10_000
    gain, loss = np.mean(0.4 / (1 + middles)), np.mean((0.5 + 0.4 * middles) / (1 + middles) ** 2)

    assert split([0.5, 0.9], [0.0, 1.0]) == pytest.approx((0.5, gain, loss))


def test_a_flat_curve_only_gives_up():
    start, gain, loss = split([0.8, 0.8], [0.0, 1.0])

    assert (start, gain, loss) == (0.8, 0.0, pytest.approx(0.4))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("test_08..test_10", ("test_08", "test_09", "test_10")),
        ("a9..a10", ("a9", "a10")),
        ("first,second", ("first", "second")),
    ],
)
def test_columns_can_be_a_range_or_a_list(text, columns):
    assert expand(text) == columns


@pytest.mark.parametrize("text", ["a..b", "a_2..a_1", "a_1..b_2", "a_1.."])
def test_other_ranges_are_refused(text):
    with pytest.raises(HarnessError, match=r"must be FIRST\.\.LAST"):
        expand(text)
