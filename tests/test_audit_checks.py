"""The single checks of an audit, on as little as each needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.auditing.accuracy import find_impossible, find_outside
from harness.auditing.audit import audit
from harness.auditing.cohorts import find_mixtures
from harness.auditing.copies import shared_rows, shared_scores, shared_values
from harness.auditing.evidence import Column, Evidence, Laps, Limits, Row
from harness.auditing.growth import find_clocks, find_negative, find_standstills, find_stopped_epochs
from harness.auditing.image_counts import find_count
from harness.auditing.power import find_odd_powers, usual
from harness.auditing.resolution import find_unresolved
from harness.auditing.steps import find_step, written_step
from harness.errors import HarnessError

DRAW = np.random.default_rng(7)
FLOATS = arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(allow_infinity=False))


def evidence(*columns, groups=None, **more):
    """Rows with these columns, of one group and device unless *groups* says otherwise."""
    size = len(columns[0].values)
    rows = tuple(Row(place, f"m{place}", "g") for place in range(1, size + 1))
    zeros = np.zeros(size, dtype=np.intp)
    return Evidence(rows, columns, zeros if groups is None else np.array(groups), zeros, **more)


def cost(name, *values, unit="J", **more):
    return Column(name, np.array(values, dtype=np.float64), "cost", unit, **more)


def score(name, *values, **more):
    return Column(name, np.array(values, dtype=np.float64), "score", **more)


def rows_of(found):
    return [finding.rows for finding in found]


@given(st.lists(st.integers(1, 10**6), min_size=5, max_size=30, unique=True), st.sampled_from([1e-3, 2.0**-14, 0.25]))
def test_a_step_is_never_finer_than_that_of_the_values(counts, step):
    written = written_step(np.array(counts) * step)

    assert round(written / step) == pytest.approx(written / step)  # it divides them
    assert find_step(np.array(counts) * step) >= max(written, 0.999 * step)


def test_the_step_is_about_that_of_most_values_though_one_is_wrong():
    right = DRAW.permutation(np.arange(1, 10_000))[:60] / 1000

    assert 0.00099 < find_step(np.append(right, 0.1234567)) < 0.005


@given(st.integers(20, 20_000).filter(lambda n: n not in (100, 1000, 10_000)), st.integers(0, 2**32 - 1))
def test_the_number_of_images_is_found_from_accuracies(images, seed):
    right = np.random.default_rng(seed).permutation(np.arange(1, images))[:60]

    assert images == find_count(right / images).n


@given(st.integers(20, 1000).filter(lambda n: n not in (100, 1000)), st.integers(4, 7), st.integers(0, 2**32 - 1))
def test_the_number_of_images_is_found_from_accuracies_of_few_digits(images, digits, seed):
    right = np.random.default_rng(seed).permutation(np.arange(1, images))[:60]

    assert images == find_count(np.round(right / images, digits)).n


@pytest.mark.parametrize("digits", [2, 3, 4, 5])
def test_numbers_of_few_digits_that_are_no_accuracies_tell_no_number_of_images(digits):
    for seed in range(20):
        assert find_count(np.round(np.random.default_rng(seed).uniform(0.5, 0.9, 30), digits)) is None


def test_accuracies_most_of_which_have_even_numerators_by_chance_are_right():
    values = np.array([3265, 3250, 3098, 3000, 2812, 2632, 2612, 2842, 2738, 2658]) / 3644

    assert [] == list(find_impossible(evidence(score("performance", *values)), Limits()))


def test_printed_accuracies_are_not_held_against_what_is_left_of_the_digits():
    values = np.round(np.random.default_rng(1).binomial(5279, 0.8, 1000) / 5279, 4)

    assert [] == list(find_impossible(evidence(score("performance", *values)), Limits()))


def test_a_shifted_accuracy_of_four_digits_is_found_and_no_other():
    values = np.round([*(DRAW.integers(300, 580, 40) / 608), 66 / 608 + 0.3], 4)

    assert [(40,)] == rows_of(find_impossible(evidence(score("performance", *values)), Limits()))


def test_numbers_of_no_test_set_tell_no_number_of_images():
    values = DRAW.uniform(0.5, 0.9, 50)

    assert [] == list(find_impossible(evidence(score("performance", *values)), Limits()))


def test_equal_bytes_and_small_numbers_are_no_copies():
    assert [] == shared_values(np.repeat(np.arange(1.0, 40.0), 2), 0.01)


def test_two_equal_energies_of_many_digits_are():
    assert [(2, 5)] == shared_values(np.array([3.1415926535, 2.71, 1.4142135623, 9.8, 6.6, 1.4142135623]), 0.01)


def test_two_rows_alone_can_be_copies():
    assert [(0, 1)] == shared_values(np.array([17.475087871, 17.475087871]), 0.01)


@pytest.mark.parametrize("step", [1e-3, 2.0**-14, 1e-3 / 3.6, 0.0371], ids=["mJ", "counter", "mJ as uWh", "busy ticks"])
def test_ties_that_the_step_explains_are_none(step):
    values = np.round(DRAW.uniform(1, 3, 3000) / step) * step

    assert len(np.unique(values)) < 3000
    assert [] == shared_values(values, 0.01)


def test_ties_stay_explained_though_wrong_rows_hold_many_of_the_few_distinct_values():
    values = np.round(DRAW.uniform(0.5, 3, 1000), 1)
    values[:15] *= DRAW.uniform(0.01, 0.1, 15)

    assert [] == shared_values(values, 0.01)


def test_two_equal_times_of_a_clock_with_tenths_are_none_though_one_of_five_rows_is_wrong():
    assert [] == shared_values(np.array([0.3, 1.0, 1.0, 2.4, 0.0271828]), 0.01)


def scattered(draw, size=1000):
    return np.round(np.exp(draw.normal(7, 1, size)), 3)


def test_many_equal_energies_are_found_where_chance_would_make_a_few():
    values = scattered(np.random.default_rng(2))
    carried = np.arange(60).reshape(-1, 2)
    values[carried[:, 0]] = values[carried[:, 1]]

    assert {tuple(pair) for pair in carried.tolist()} <= set(shared_values(values, 0.01))


def test_the_few_equal_energies_that_chance_makes_are_left_alone():
    found = [len(shared_values(scattered(np.random.default_rng(seed)), 0.01)) for seed in range(50)]

    assert sum(2 * pairs for pairs in found) <= 0.001 * 50 * 1000


def test_ties_that_few_significant_digits_explain_are_none():
    values = np.array([float(f"{value:.4g}") for value in np.exp(DRAW.uniform(-3, 8, 2000))])

    assert len(np.unique(values)) < 2000
    assert [] == shared_values(values, 0.01)


def test_a_model_that_always_answers_the_same_shares_no_metrics():
    curves = DRAW.integers(0, 2000, (60, 6)) / 2000
    curves[:5] = 0.6688

    assert [] == shared_scores([score(str(e), *curves[:, e]) for e in range(6)], 60, 0.01)


def test_a_copied_curve_shares_its_metrics():
    curves = DRAW.integers(0, 2000, (60, 6)) / 2000
    curves[7] = curves[3]

    assert [(3, 7)] == shared_scores([score(str(e), *curves[:, e]) for e in range(6)], 60, 0.01)


def coarse_rows(draw, size=300):
    """Rows whose seconds, joules and accuracies are each so coarse that many are equal by chance."""
    seconds = np.round(np.exp(draw.normal(4, 1, size)), 1)
    joules = np.round(200 * seconds * np.exp(draw.normal(0, 0.2, size)), -1)
    return joules, seconds, draw.integers(150, 350, size) / 360


def copied(joules, seconds, right):
    columns = cost("energy", *joules), cost("time", *seconds, unit="s"), score("performance", *right)
    return shared_rows(evidence(*columns, powers=(("energy", "time"),)), 0.01)


def test_a_copied_row_is_told_by_all_columns_together_where_each_is_too_coarse():
    columns = coarse_rows(np.random.default_rng(3))
    for column in columns:
        column[7] = column[3]

    assert not any(shared_values(column, 0.01) for column in columns)
    assert [(3, 7)] == copied(*columns)


def test_rows_of_short_runs_are_the_same_by_chance():
    seconds = np.repeat(np.arange(1, 11) / 10, 30)

    assert [] == copied(np.round(seconds * 200, -1), seconds, DRAW.integers(8, 12, 300) / 12)


def test_the_usual_power_stays_though_two_in_five_rows_are_wrong():
    logs = np.concatenate([DRAW.normal(0, 0.02, 60), DRAW.normal(2, 0.5, 40)])

    assert 0 == pytest.approx(usual(logs).centre, abs=0.02)


def test_powers_are_held_against_the_group_where_groups_differ():
    watts = np.concatenate([DRAW.normal(100, 2, 20), DRAW.normal(300, 5, 20)])
    watts[30] *= 3
    seconds = DRAW.uniform(10, 50, 40)
    both = (cost("energy", *watts * seconds), cost("time", *seconds, unit="s"))

    found = find_odd_powers(evidence(*both, groups=[0] * 20 + [1] * 20, powers=(("energy", "time"),)), Limits())
    assert [(30,)] == rows_of(found)


def test_a_clock_that_stopped_is_found_among_five_rows():
    seconds = np.array([10.0, 20, 30, 40, 5])
    both = (cost("energy", *seconds[:4] * [201, 199, 204, 197], 10_000), cost("time", *seconds, unit="s"))

    assert [(4,)] == rows_of(find_odd_powers(evidence(*both, powers=(("energy", "time"),)), Limits()))


def test_the_powers_of_few_rows_that_scatter_by_a_quarter_are_right():
    draw, off = np.random.default_rng(1), 0
    for _ in range(200):
        seconds = draw.uniform(10, 50, 5)
        both = (cost("energy", *seconds * np.exp(draw.normal(5, 0.25, 5))), cost("time", *seconds, unit="s"))
        off += len([*find_odd_powers(evidence(*both, powers=(("energy", "time"),)), Limits())])

    assert off <= 0.01 * 5 * 200


def test_a_group_most_of_which_carries_the_energy_of_others_is_held_against_the_device():
    watts = DRAW.normal(300, 5, 80)
    watts[60:74] *= 6
    seconds = DRAW.uniform(10, 50, 80)
    both = (cost("energy", *watts * seconds), cost("time", *seconds, unit="s"))

    found = find_odd_powers(evidence(*both, groups=[0] * 60 + [1] * 20, powers=(("energy", "time"),)), Limits())
    assert [(row,) for row in range(60, 74)] == rows_of(found)


def test_a_shifted_accuracy_is_told_with_its_shift():
    values = [*(DRAW.integers(900, 1900, 30) / 1984), 66 / 1984 + 0.6]
    found = [*find_impossible(evidence(score("performance", *values)), Limits())]

    assert [(30,)] == rows_of(found)
    assert found[0].reason.endswith("is no multiple of 1/1984 (1256.40 of 1984), but less 0.1 or 0.6 it is one")


def test_a_known_number_of_images_needs_no_other_rows_than_two():
    column = score("performance", 0.5, 0.75, 0.7512, images=np.full(3, 360.0))

    assert [(2,)] == rows_of(find_impossible(evidence(column), Limits()))


def test_a_performance_that_is_no_accuracy_is_left_alone():
    column = score("performance", 0.5123, 0.7512, 0.7519, images=np.full(3, 360.0))

    assert [] == rows_of(find_impossible(evidence(column), Limits()))


def test_a_performance_above_one_is_found():
    assert [(1,)] == rows_of(find_outside(evidence(score("performance", 0.5, 1.2)), Limits()))


def test_a_negative_reading_is_found():
    assert [(0,)] == rows_of(find_negative(evidence(cost("energy", -1, 2)), Limits()))


def test_energy_without_time_and_time_without_energy_are_found():
    both = (cost("energy", 5, 0, 6), cost("time", 0, 2, 3, unit="s"))

    assert [(1,), (0,)] == rows_of(find_standstills(evidence(*both, powers=(("energy", "time"),)), Limits()))


def test_an_energy_within_its_uncertainty_of_0_stands_still_only_where_the_usual_power_gave_more():
    energy = cost("energy", 400, 420, 0, uncertainty=np.full(3, 2.0))
    short = cost("energy of infer_single", 0, 0, 0, uncertainty=np.full(3, 2.0))
    columns = (energy, cost("time", 2, 2, 2, unit="s"), short, cost("time of infer_single", 1e-3, 1e-3, 9, unit="s"))
    powers = (("energy", "time"), ("energy of infer_single", "time of infer_single"))

    assert [(2,), (2,)] == rows_of(find_standstills(evidence(*columns, powers=powers), Limits()))


def test_a_counter_that_stands_still_in_all_rows_is_found():
    energy, time = cost("energy", 0, 0, uncertainty=np.full(2, 0.1)), cost("time", 60, 90, unit="s")

    assert [(0, 1)] == rows_of(find_standstills(evidence(energy, time, powers=(("energy", "time"),)), Limits()))


def test_a_clock_that_disagrees_with_its_window_is_found():
    time = cost("time", 10, 4, unit="s")

    assert [(1,)] == rows_of(find_clocks(evidence(time, windows={"time": np.array([10.0, 10.0])}), Limits()))


def laps(energy, time, whole_energy=30.0, whole_time=3.0):
    parts = np.array(energy, dtype=np.float64), np.full(3, 0.1), np.array(time, dtype=np.float64)
    return Laps(0, "energy_gpu", *parts, whole_energy, 0.1, whole_time, True)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (laps([10, 10, 10], [1, 1, 1]), None),
        (laps([15, 0, 15], [1, 1, 1]), "energy_gpu hardly grows in epoch 2"),
        (laps([10, 10, 10], [1.5, 1.5, 0]), "time hardly grows in epoch 3"),
        (laps([10, 10, 10], [1, 1, 1], whole_energy=50), "energy_gpu of the epochs adds up to 30"),
        (laps([0.05, 0, 0.05], [1, 1, 1], whole_energy=0.1), None),
    ],
    ids=["right", "counter", "clock", "whole", "too small to tell"],
)
def test_epochs_grow_and_add_up(one, reason):
    found = [*find_stopped_epochs(evidence(cost("energy_gpu", 30), laps=(one,)), Limits())]

    assert [reason] == [finding.reason[: len(reason or "")] for finding in found] or (reason is None and not found)


def test_a_reading_below_its_uncertainty_is_found():
    column = cost("energy", 5, 0.2, uncertainty=np.array([0.5, 0.5]))

    assert [(1,)] == rows_of(find_unresolved(evidence(column), Limits()))


def test_readings_of_a_meter_too_coarse_for_all_rows_are_one_finding():
    column = cost("energy", 0, 0.2, 0.3, 7, uncertainty=np.full(4, 0.5))
    found = [*find_unresolved(evidence(column), Limits())]

    assert [((0, 1, 2), "energy is 0 J ± 0.5; so in 3 rows")] == [(one.rows, one.reason) for one in found]


def test_a_reading_of_one_step_is_found_in_a_table():
    column = cost("energy", 0.1, 0.2, 0.3, 1.7, 2.3, 3.1, 4.4, 5.9)

    assert [(0,)] == rows_of(find_unresolved(evidence(column), Limits()))


def test_a_cohort_of_counted_and_estimated_readings_is_found():
    origins = ["rapl, counter", "rapl, counter", "cpu-estimate, estimated"]
    found = [*find_mixtures(evidence(cost("energy", 1, 2, 3, origins=origins)), Limits())]

    assert [(2,)] == rows_of(found)
    assert "rapl, counter (2), cpu-estimate, estimated (1)" in found[0].reason


def test_groups_on_machines_of_their_own_are_no_mixture():
    column = cost("energy", 1, 2)

    assert [] == list(find_mixtures(evidence(column, groups=[0, 1], traits={"machines": ["a", "b"]}), Limits()))


@given(FLOATS, st.data())
def test_no_numbers_break_an_audit(energy, data):
    same = arrays.arrays(np.float64, len(energy), elements=st.floats(allow_infinity=False))
    columns = [
        cost("energy", *energy),
        cost("time", *data.draw(same), unit="s"),
        score("performance", *data.draw(same)),
    ]
    groups = data.draw(st.lists(st.integers(0, 3), min_size=len(energy), max_size=len(energy)))
    found = audit(evidence(*columns, groups=groups, powers=(("energy", "time"),)), Limits()).findings

    assert all(0 <= row < len(energy) for finding in found for row in finding.rows)
    assert all(finding.reason and "\n" not in finding.reason for finding in found)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"multiples": 0.5}, "--multiples must be above 0.5 and at most 1, is 0.5"),
        ({"power_factor": 1}, "--power-factor must be a number above 1, is 1"),
        ({"coincidences": float("nan")}, "--coincidences must be a number above 0, is nan"),
        ({"deviations": -1}, "--deviations must be a number above 0, is -1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_limits_that_make_no_sense_are_refused(limits, told):
    with pytest.raises(HarnessError, match=told):
        Limits(**limits)
