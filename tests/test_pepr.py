"""The arithmetic of PePR: the paper's properties, and what must hold for any readings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.errors import HarnessError
from harness.pepr import cohort_bounds, combine, group_codes, normalize, pepr, scale_weights, score_arrays

SHARES = st.floats(0, 1)
COSTS = st.floats(0, 1e12, allow_subnormal=False)
WEIGHTS = st.floats(0.01, 100)


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Performance, two costs and groups of up to twelve models."""
    size = draw(st.integers(1, 12))
    performance = draw(arrays(np.float64, size, elements=SHARES))
    costs = draw(arrays(np.float64, (2, size), elements=COSTS))
    return performance, costs, draw(arrays(np.intp, size, elements=st.integers(0, 3)))


def score(performance, costs, groups=None, **options):
    return score_arrays(performance, {"energy": costs[0], "time": costs[1]}, groups=groups, **options)


def test_one_model_scores_its_performance():
    assert score_arrays([0.8], {"energy": [123.0]}).tolist() == [0.8]


def test_of_two_models_the_dearer_scores_half_its_performance():
    assert score_arrays([0.8, 0.9], {"energy": [1.0, 5.0]}).tolist() == [0.8, 0.45]


def test_random_guessing_at_no_cost_scores_its_chance():
    assert score_arrays([0.5, 0.9], {"energy": [0.0, 10.0]}).tolist() == [0.5, 0.45]


def test_same_costs_leave_performance_alone():
    assert score_arrays([0.1, 0.2, 0.3], {"energy": [7.0, 7.0, 7.0]}).tolist() == [0.1, 0.2, 0.3]


def test_alpha_softens_the_cost():
    assert pepr([0.9], [1.0], alpha=9.0).tolist() == [pytest.approx(0.81)]


@given(SHARES, st.floats(0, 1), st.floats(1, 100))
def test_models_on_an_isocline_score_the_same(level, cost, alpha):
    performance = level * (alpha + cost) / alpha

    assert pepr([performance], [cost], alpha)[0] == pytest.approx(level)


@given(SHARES, SHARES, st.floats(0, 10), st.floats(0, 10))
def test_score_rises_with_performance_and_falls_with_cost(first, second, cost, more):
    low, high = sorted((first, second))

    assert pepr([low], [cost + more])[0] <= pepr([high], [cost])[0]


@pytest.mark.parametrize("alpha", [0.99, 0, -1, math.nan, math.inf])
def test_alpha_below_one_is_refused(alpha):
    with pytest.raises(HarnessError, match="alpha must be a number from 1 up"):
        pepr([0.5], [0.5], alpha)


@pytest.mark.parametrize("cost", [-1.0, -2.0])
def test_a_cost_so_far_below_the_bounds_that_the_sign_turns_has_no_score(cost):
    assert np.isnan(pepr([0.5], [cost])).all()


@pytest.mark.parametrize(("performance", "cost"), [(math.nan, 0.5), (0.5, math.nan), (0.5, math.inf), (math.inf, 0.5)])
def test_a_missing_or_infinite_part_leaves_no_score(performance, cost):
    assert np.isnan(pepr([performance], [cost])).all()


@given(cohorts())
def test_scores_equal_the_definition_group_by_group(cohort):
    performance, (energy, _), groups = cohort
    found = score_arrays(performance, {"energy": energy}, groups=groups)

    for row, group in enumerate(groups):
        low, high = energy[groups == group].min(), energy[groups == group].max()
        cost = 0.0 if high == low else (energy[row] - low) / (high - low)
        assert found[row] == pytest.approx(performance[row] / (1 + cost), abs=1e-12)


@given(cohorts(), st.floats(1e-3, 1e3))
def test_units_do_not_matter(cohort, factor):
    performance, costs, groups = cohort

    assert score(performance, costs * factor, groups) == pytest.approx(score(performance, costs, groups), abs=1e-6)


@given(cohorts(), WEIGHTS, WEIGHTS, st.floats(1e-3, 1e3))
def test_weights_may_sum_to_anything(cohort, first, second, factor):
    performance, costs, groups = cohort
    once = score(performance, costs, groups, weights={"energy": first, "time": second})
    again = score(performance, costs, groups, weights={"energy": first * factor, "time": second * factor})

    assert again == pytest.approx(once, abs=1e-12)


@given(cohorts(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(cohort, random):
    performance, costs, groups = cohort
    order = list(range(len(performance)))
    random.shuffle(order)

    assert score(performance[order], costs[:, order], groups[order]).tolist() == score(*cohort)[order].tolist()


@given(cohorts(), st.data())
def test_a_missing_reading_costs_that_row_its_score_and_no_other(cohort, data):
    performance, costs, groups = cohort
    lost = data.draw(st.integers(0, len(performance) - 1))
    rest = np.arange(len(performance)) != lost
    holed = costs.copy()
    holed[1, lost] = data.draw(st.sampled_from([math.nan, math.inf]))
    found = score(performance, holed, groups)

    assert np.isnan(found[lost])
    assert found[rest].tolist() == score(performance[rest], costs[:, rest], groups[rest]).tolist()


@given(cohorts())
def test_rows_alike_score_alike(cohort):
    performance, costs, groups = (np.concatenate([part, part], axis=-1) for part in cohort)
    size = len(performance) // 2
    found = score(performance, costs, groups)

    assert found[:size].tolist() == found[size:].tolist()


@given(cohorts(), st.sampled_from(["minmax", "max", "robust"]))
def test_scores_lie_between_half_the_performance_and_all_of_it(cohort, normalization):
    performance, costs, groups = cohort
    found = score(performance, costs, groups, normalization=normalization)

    assert ((found >= performance / 2 - 1e-12) & (found <= performance + 1e-12)).all()


def test_max_divides_by_the_largest():
    costs = np.array([2.0, 8.0])

    assert normalize(costs, cohort_bounds(costs, method="max")).tolist() == [0.25, 1.0]


def test_robust_bounds_are_percentiles_within_each_group():
    values = np.random.default_rng(1).exponential(size=300)
    codes = np.arange(300) % 3
    expected = [np.percentile(values[codes == code], [5, 95]).tolist() for code in range(3)]

    assert cohort_bounds(values, codes, "robust").tolist() == [pytest.approx(pair) for pair in expected]


def test_robust_costs_are_clipped():
    costs = np.array([0.0, *np.linspace(10, 20, 98), 1000.0])
    found = normalize(costs, cohort_bounds(costs, method="robust"), clip=True)

    assert (found[0], found[-1]) == (0.0, 1.0)


def test_costs_outside_fixed_bounds_go_below_zero_and_above_one():
    assert normalize([0.0, 30.0], np.array([[10.0, 20.0]])).tolist() == [-1.0, 2.0]


def test_bounds_that_are_one_point_place_that_point_only():
    found = normalize([3.0, 4.0], np.array([[3.0, 3.0]]))

    assert found[0] == 0
    assert np.isnan(found[1])


def test_a_group_without_a_value_has_no_bounds():
    bounds = cohort_bounds([1.0, math.nan], np.array([0, 1]))

    assert bounds[0].tolist() == [1.0, 1.0]
    assert np.isnan(bounds[1]).all()


def test_an_unknown_normalisation_is_refused_with_the_known():
    with pytest.raises(HarnessError, match=r"unknown normalisation 'minmaxx'; did you mean 'minmax'"):
        cohort_bounds([1.0], method="minmaxx")


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ({"energy": -1.0}, "must be a number from 0 up"),
        ({"energy": math.nan}, "is nan"),
        ({"a": 0, "b": 0}, "all weights are 0"),
    ],
)
def test_wrong_weights_are_refused(weights, problem):
    with pytest.raises(HarnessError, match=problem):
        scale_weights(weights)


@given(
    st.dictionaries(st.text(max_size=3), st.floats(0, 1e308), min_size=1).filter(lambda weights: any(weights.values()))
)
def test_scaled_weights_sum_to_one(weights):
    assert sum(scale_weights(weights).values()) == pytest.approx(1)


def test_a_resource_without_weight_may_be_missing():
    costs = {"energy": np.array([0.5]), "time": np.array([math.nan])}

    assert combine(costs, {"energy": 2.0, "time": 0.0}).tolist() == [0.5]


def test_groups_are_numbered_as_they_appear():
    codes, names = group_codes(["b", "a", "b"])

    assert (codes.tolist(), names) == ([0, 1, 0], ["b", "a"])
