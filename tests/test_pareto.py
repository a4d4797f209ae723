"""The Pareto front and its knee."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.scoring.pareto import fronts_by_group, knee, pareto_front

# Few different values, so that ties and duplicates are common.
STEPS = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def beaten(costs, performance, row):
    """Whether some other row is as good in everything and better in something."""
    as_good = (costs <= costs[row]).all(axis=1) & (performance >= performance[row])
    better = (costs < costs[row]).any(axis=1) | (performance > performance[row])
    return bool((as_good & better).any())


@given(
    st.integers(1, 20).flatmap(lambda n: st.tuples(arrays(float, n, elements=STEPS), arrays(float, n, elements=STEPS)))
)
def test_front_of_two_is_what_no_row_beats(points):
    cost, performance = points
    expected = [not beaten(cost[:, None], performance, row) for row in range(len(cost))]

    assert pareto_front(cost, performance).tolist() == expected


@given(
    st.tuples(st.integers(1, 12), st.integers(2, 4)).flatmap(lambda shape: arrays(float, shape, elements=STEPS)),
    st.data(),
)
def test_front_of_many_is_what_no_row_beats(costs, data):
    performance = data.draw(arrays(float, len(costs), elements=STEPS))
    expected = [not beaten(costs, performance, row) for row in range(len(costs))]

    assert pareto_front(costs, performance).tolist() == expected


@pytest.mark.parametrize("columns", [1, 2])
def test_duplicates_of_a_front_point_stay_on_the_front(columns):
    costs = np.repeat([[1.0], [1.0], [2.0]], columns, axis=1)

    assert pareto_front(costs, [0.5, 0.5, 0.4]).tolist() == [True, True, False]


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_missing_cost_is_never_on_the_front(columns, lost):
    costs = np.repeat([[lost], [1.0]], columns, axis=1)

    assert pareto_front(costs, [0.9, 0.5]).tolist() == [False, True]


def test_groups_have_fronts_of_their_own():
    found = fronts_by_group(np.array([[1.0], [2.0], [2.0]]), np.array([0.5, 0.4, 0.4]), np.array([0, 0, 1]))

    assert found.tolist() == [True, False, True]


def test_the_knee_is_farthest_above_the_line_between_the_ends():
    cost, performance = np.array([0.0, 1.0, 4.0, 10.0]), np.array([0.2, 0.7, 0.8, 0.9])

    assert knee(cost, performance, pareto_front(cost, performance)) == 1


def test_a_straight_front_has_no_knee():
    cost, performance = np.array([0.0, 1.0, 2.0]), np.array([0.1, 0.2, 0.3])

    assert knee(cost, performance, np.ones(3, bool)) is None


def test_two_points_have_no_knee():
    assert knee([0.0, 1.0], [0.1, 0.9], np.array([True, True])) is None
