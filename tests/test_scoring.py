"""Tables to scores: rows, seeds, bounds, reasons, and the JSON document."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.scoring.bounds import Bounds, read_bounds
from harness.scoring.score_table import score_table


def table(**columns):
    """A table of models a, b, c, ... in one group."""
    size = len(next(iter(columns.values())))
    return pandas.DataFrame({"model": list("abcdefgh")[:size], "group": "g", **columns})


def by_model(score, column="pepr"):
    return dict(zip(score.table["model"], score.table[column], strict=True))


def test_rows_are_ranked_best_first_and_unscored_last():
    score = score_table(table(performance=[0.5, 0.9, math.nan], energy=[10.0, 1.0, 1.0]), {"energy": 1})

    assert score.table["model"].tolist() == ["b", "a", "c"]


def test_groups_are_normalised_apart():
    frame = table(performance=[0.8, 0.8, 0.8, 0.8], energy=[1.0, 2.0, 100.0, 300.0]).assign(group=list("xxyy"))

    assert by_model(score_table(frame, {"energy": 1})) == {"a": 0.8, "b": 0.4, "c": 0.8, "d": 0.4}


def test_the_document_is_as_published():
    frame = table(performance=[0.85, 0.9], energy=[0.1, 9.0])

    assert score_table(frame, {"energy": 2}, units={"energy": "J"}).document() == {
        "schema": "harness.score/1",
        "score": "pepr",
        "alpha": 1.0,
        "normalize": "minmax",
        "phase": "train",
        "resources": {"energy": {"weight": 1.0, "unit": "J", "bounds": {"g": [0.1, 9.0]}}},
        "rows": [document_row("a", 0.85, 0.1, 0.0, 0.85), document_row("b", 0.9, 9.0, 1.0, 0.45)],
    }


def document_row(model, performance, value, cost, pepr):
    return {
        "model": model,
        "group": "g",
        "performance": performance,
        "resources": {"energy": {"value": value, "normalized": cost}},
        "R": cost,
        "pepr": pepr,
        "reason": None,
        "seeds": 1,
        "performance_low": None,
        "performance_high": None,
        "pepr_low": None,
        "pepr_high": None,
    }


def test_the_flat_columns_are_those_of_the_document():
    score = score_table(table(performance=[0.5], energy=[1.0]), {"energy": 1})

    assert score.columns == [
        *("model", "group", "performance", "energy", "energy_n", "R", "pepr", "reason", "seeds"),
        *("performance_low", "performance_high", "pepr_low", "pepr_high"),
    ]


def test_numbers_in_rows_are_pythons_own():
    row = score_table(table(performance=[0.5], energy=[1]), {"energy": 1}, pareto=True).rows[0]

    assert json.loads(json.dumps(row)) == row


def test_a_row_without_reading_has_no_score_but_the_reason():
    frame = table(performance=[0.5, 0.6], energy=[1.0, math.nan])
    row = score_table(frame, {"energy": 1}, gaps={"energy": [None, "no NVIDIA driver found"]}).rows[1]

    assert (row["pepr"], row["reason"]) == (None, "no NVIDIA driver found")


@pytest.mark.parametrize(
    ("performance", "energy", "reason"),
    [(math.nan, 1.0, "no performance"), (0.5, math.nan, "no reading of energy"), (0.5, math.inf, "energy is infinite")],
)
def test_the_reason_says_what_is_missing(performance, energy, reason):
    score = score_table(table(performance=[0.5, performance], energy=[1.0, energy]), {"energy": 1})

    assert score.rows[1]["reason"] == reason


def test_an_unscored_row_takes_no_part_in_the_bounds():
    frame = table(performance=[0.5, 0.6, math.nan], energy=[1.0, 2.0, 1000.0])

    assert score_table(frame, {"energy": 1}).bounds.groups == {"energy": {"g": (1.0, 2.0)}}


def test_a_row_that_lacks_one_of_two_resources_bounds_neither():
    frame = table(performance=[0.5, 0.6, 0.7], energy=[1.0, 2.0, 1000.0], time=[1.0, 2.0, math.nan])

    assert score_table(frame, {"energy": 1, "time": 1}).bounds.groups["energy"] == {"g": (1.0, 2.0)}


def seeds(performance, energy):
    """Models a and b, two seeds each."""
    return pandas.DataFrame(
        {"model": list("aabb"), "group": "g", "seed": [1, 2, 1, 2], "performance": performance, "energy": energy}
    )


def test_seeds_make_one_row_scored_with_the_bounds_of_the_means():
    score = score_table(seeds([0.6, 0.8, 0.9, 0.9], [1.0, 3.0, 4.0, 8.0]), {"energy": 1})

    assert score.bounds.groups == {"energy": {"g": (2.0, 6.0)}}
    assert by_model(score)["a"] == pytest.approx((0.6 / (1 - 1 / 4) + 0.8 / (1 + 1 / 4)) / 2)
    assert by_model(score, "seeds") == {"a": 2, "b": 2}


def test_the_interval_of_seeds_is_students_t():
    row = score_table(seeds([0.6, 0.8, 0.9, 0.9], [1.0, 1.0, 1.0, 1.0]), {"energy": 1}).rows[1]

    assert (row["model"], row["performance"]) == ("a", pytest.approx(0.7))
    assert row["performance_high"] - row["performance"] == pytest.approx(12.7062 * 0.1, rel=1e-5)
    assert row["pepr_low"] == pytest.approx(0.7 - 1.27062, rel=1e-5)


def test_a_failed_seed_is_left_out_and_told():
    score = score_table(seeds([0.6, math.nan, 0.9, 0.9], [1.0, 50.0, 2.0, 2.0]), {"energy": 1})

    assert by_model(score) == {"a": 0.6, "b": 0.45}
    assert score.warnings == ("not all seeds have a performance and all readings: a (1 of 2)",)


def test_one_model_with_seeds_scores_its_performance_however_their_costs_scatter():
    score = score_table(seeds([0.6, 0.8, math.nan, math.nan], [1.0, 300.0, 1.0, 1.0]), {"energy": 1})

    assert by_model(score)["a"] == pytest.approx(0.7)


def test_seeds_that_scatter_more_than_models_differ_are_told():
    score = score_table(seeds([0.6, 0.6, 0.9, 0.9], [1.0, 9.0, 5.0, 6.0]), {"energy": 1})

    assert score.warnings == ("energy differs more between seeds, as of a, than between models: its score says little",)


def test_no_mean_is_made_of_the_seeds_that_happen_to_have_a_score():
    row = score_table(seeds([0.6, 0.6, 0.9, 0.9], [1.0, 9.0, 5.0, 6.0]), {"energy": 1}).rows[-1]

    assert (row["model"], row["pepr"]) == ("a", None)
    assert row["reason"] == "a cost lies so far below the bounds that it has no score"


def test_rows_without_a_seed_column_stay_apart():
    frame = seeds([0.6, 0.6, 0.9, 0.9], [1.0, 1.0, 2.0, 2.0]).drop(columns="seed")

    assert len(score_table(frame, {"energy": 1}).rows) == 4


def test_given_bounds_score_as_the_earlier_cohort_did():
    earlier = Bounds("minmax", {"energy": {"g": (0.0, 10.0)}})

    assert by_model(score_table(table(performance=[0.8], energy=[5.0]), {"energy": 1}, bounds=earlier)) == {
        "a": 0.8 / 1.5
    }


def test_given_bounds_are_brought_to_the_tables_unit():
    earlier = Bounds("minmax", {"energy": {"g": (0.0, 1.0)}}, {"energy": "kWh"})
    score = score_table(table(performance=[0.8], energy=[3.6e6]), {"energy": 1}, units={"energy": "J"}, bounds=earlier)

    assert by_model(score) == {"a": 0.4}


def test_models_outside_given_bounds_are_named():
    earlier = Bounds("minmax", {"energy": {"g": (1.0, 10.0)}})
    score = score_table(table(performance=[0.8, 0.8], energy=[5.0, 11.0]), {"energy": 1}, bounds=earlier)

    assert [warning.split(" outside")[0] for warning in score.warnings] == ["b"]


@pytest.mark.parametrize(
    ("resource", "group", "problem"),
    [("time", "g", "hold no 'energy'"), ("energy", "h", "hold no group 'g', only 'h'")],
)
def test_bounds_that_lack_what_is_scored_are_refused(resource, group, problem):
    earlier = Bounds("minmax", {resource: {group: (1.0, 10.0)}})

    with pytest.raises(HarnessError, match=problem):
        score_table(table(performance=[0.8], energy=[5.0]), {"energy": 1}, bounds=earlier)


def test_bounds_come_back_from_the_document(tmp_path):
    score = score_table(table(performance=[0.8, 0.7], energy=[1.0, 3.0]), {"energy": 1}, units={"energy": "J"})
    (tmp_path / "cohort.json").write_text(json.dumps(score.document()))

    assert read_bounds(tmp_path / "cohort.json") == Bounds(
        "minmax", {"energy": {"g": (1.0, 3.0)}}, {"energy": "J"}, "train"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("energy: 3", "are no JSON"),
        ("[1, 2]", "must be the JSON of"),
        ('{"energy": {"g": [5, 1]}}', "low and high are 5.0, 1.0"),
        ('{"energy": {"g": 5}}', "must be the JSON of"),
        ('{"energy": 5}', "must be the JSON of"),
    ],
)
def test_other_files_are_no_bounds(tmp_path, text, problem):
    (tmp_path / "bounds.json").write_text(text)

    with pytest.raises(HarnessError, match=problem):
        read_bounds(tmp_path / "bounds.json")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"performance": [0.5, 0.5], "energy": [1.0, -2.0]}, r"row 2 \('b'\): energy -2 is negative"),
        ({"performance": [85.0, 0.5], "energy": [1.0, 2.0]}, r"row 1 \('a'\): performance 85 is outside 0 to 1"),
        ({"performance": [0.5, 0.5], "enery": [1.0, 2.0]}, "unknown resource 'energy'; did you mean 'enery'"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(columns, problem):
    with pytest.raises(HarnessError, match=problem):
        score_table(table(**columns), {"energy": 1})


def test_each_letter_is_also_scored_alone():
    frame = table(performance=[0.8, 0.8], energy=[1.0, 2.0], time=[5.0, 1.0])
    score = score_table(frame, {"energy": 1, "time": 0}, alone={"E": "energy", "T": "time"})

    assert score.rows[0]["scores"] == {"E": 0.8, "T": 0.4}


def test_the_front_and_knee_are_marked_and_unknown_rows_are_neither():
    frame = table(performance=[0.2, 0.7, 0.8, 0.1, 0.5], energy=[0.0, 1.0, 9.0, 9.0, math.nan])
    score = score_table(frame, {"energy": 1}, pareto=True)

    assert by_model(score, "pareto") == {"a": True, "b": True, "c": True, "d": False, "e": None}
    assert by_model(score, "knee") == {"a": False, "b": True, "c": False, "d": False, "e": None}


CELLS = st.one_of(st.just(math.nan), st.just(math.inf), st.floats(0, 1e9))
LINES = st.tuples(
    st.sampled_from("abc"), st.sampled_from("xy"), st.one_of(st.just(math.nan), st.floats(0, 1)), CELLS, CELLS
)


@given(st.lists(LINES, min_size=1, max_size=15))
def test_a_score_is_there_exactly_where_nothing_is_missing_else_a_reason(lines):
    frame = pandas.DataFrame(lines, columns=["model", "group", "performance", "energy", "time"])
    complete = np.isfinite(frame[["performance", "energy", "time"]]).all(axis=1)
    score = score_table(frame, {"energy": 1, "time": 1}).table

    assert score["pepr"].notna().sum() == complete.sum()
    assert (score["pepr"].isna() == score["reason"].notna()).all()


@given(st.lists(LINES, min_size=1, max_size=15), st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_no_score(lines, random):
    columns = ["model", "group", "performance", "energy", "time"]
    frame = pandas.DataFrame(lines, columns=columns)
    shuffled = pandas.DataFrame(random.sample(lines, len(lines)), columns=columns)
    scores = [score_table(part, {"energy": 1, "time": 1}).table for part in (frame, shuffled)]

    assert sorted(map(str, scores[0]["pepr"])) == sorted(map(str, scores[1]["pepr"]))
