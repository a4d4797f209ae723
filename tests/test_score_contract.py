"""The built-in score keeps the contract, and the contract catches scores that do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from harness.plugins_loader import load_plugins
from harness.scoring.formula_score import FormulaScore
from harness.scoring.score_table import score_table
from harness.testing import ScoreContract


class TestPepr(ScoreContract):
    reducer = staticmethod(load_plugins().registry.scores.get("pepr"))


class TestPeprOfOneResource(ScoreContract):
    reducer = staticmethod(score_table)
    resources = {"memory": 1.0}  # noqa: RUF012 (declared a ClassVar by the contract)


class TestFormula(ScoreContract):
    """The resources are the formula's own, and smaller is better."""

    reducer = FormulaScore("edp", lambda energy, time: energy * time, unit="J s", smaller_is_better=True)


class TestFormulaOfPerformanceAlone(ScoreContract):
    reducer = FormulaScore("error", lambda performance: 1 - performance, smaller_is_better=True)


class TestPeprInOtherUnits(ScoreContract):
    reducer = staticmethod(lambda frame, resources: score_table(frame, resources, normalization="max"))


def given(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return PePR of a frame that is changed before."""
    return lambda frame, resources, **options: score_table(change(frame.copy()), resources, **options)


def gave(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return PePR whose table is changed after."""

    def reducer(frame: Any, resources: Any, **options: Any) -> Any:
        score = score_table(frame, resources, **options)
        return evolve(score, table=change(score.table.copy()))

    return reducer


def zeros_for_missing(frame: Any) -> Any:
    return frame.fillna({"energy": 0.0, "time": 0.0})


def by_place(frame: Any) -> Any:
    return frame.assign(energy=frame["energy"] * [1.0 + place for place in range(len(frame))])


def alone(frame: Any) -> Any:
    return frame.assign(energy=frame["energy"] * (1 + (frame["model"] == "ant") * len(frame)))


def alternating() -> Callable[..., Any]:
    calls = iter(range(1000))
    return lambda frame, resources, **options: score_table(frame, resources, alpha=1 + next(calls))


def changes_its_table(frame: Any, resources: Any, **options: Any) -> Any:
    frame["energy"] = 1.0
    return score_table(frame, resources, **options)


def costs_are_good(frame: Any) -> Any:
    return frame.assign(energy=20 - frame["energy"], time=20 - frame["time"])


def seeds_apart(frame: Any) -> Any:
    return frame if "seed" not in frame else frame.assign(model=frame["model"] + frame["seed"].astype(str))


def takes_what_is_missing_for_the_mean(frame: Any, resources: Any, **options: Any) -> Any:
    lacking = frame[list(resources)].isna().any(axis=1)
    filled = frame.fillna(frame[list(resources)].max() * 2)
    score = score_table(filled, resources, **options)
    table = score.table
    keys = set(zip(frame["model"][lacking], frame["group"][lacking], strict=True))
    hit = [key in keys for key in zip(table["model"], table["group"], strict=True)]
    table.loc[hit, ["pepr"]] = math.nan
    return evolve(score, table=table.assign(reason=["no reading" if one else None for one in hit]))


def document_with_nan(frame: Any, resources: Any, **options: Any) -> Any:
    score = score_table(frame, resources, **options)
    return evolve(score, alpha=math.nan)


def accepts_any_resource(frame: Any, resources: Any, **options: Any) -> Any:
    return score_table(frame, {name: 1.0 for name in resources if name in frame}, **options)


def forgets_one(frame: Any, resources: Any, **options: Any) -> Any:
    return score_table(frame, {**resources, "time": 0.0}, **options)


def contract(function: Callable[..., Any]) -> ScoreContract:
    class Under(ScoreContract):
        reducer = staticmethod(function)

    return Under()


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (gave(lambda table: table.iloc[1:]), "test_every_model_of_every_group_is_one_row"),
        (gave(lambda table: table.assign(energy=table["energy_n"])), "test_keeps_performance_and_costs_as_they_were"),
        (gave(lambda table: table.assign(reason=None)), "test_every_row_has_a_finite_score_or_a_reason"),
        (gave(lambda table: table.assign(reason="odd")), "test_every_row_has_a_finite_score_or_a_reason"),
        (gave(lambda table: table.assign(pepr=math.inf)), "test_every_row_has_a_finite_score_or_a_reason"),
        (gave(lambda table: table.assign(pepr=math.nan)), "test_rows_that_lack_nothing_are_scored"),
        (given(zeros_for_missing), "test_missing_resource_gives_no_score_but_a_reason"),
        (takes_what_is_missing_for_the_mean, "test_missing_resource_of_one_model_leaves_the_others_their_scores"),
        (alternating(), "test_same_table_is_scored_alike"),
        (given(by_place), "test_order_of_the_rows_does_not_matter"),
        (given(alone), "test_groups_are_scored_apart"),
        (forgets_one, "test_every_resource_counts"),
        (given(costs_are_good), "test_costing_more_is_never_better"),
        (gave(lambda table: table.iloc[::-1]), "test_each_group_has_its_best_first_and_the_unscored_last"),
        (given(seeds_apart), "test_seeds_of_one_model_are_one_row"),
        (changes_its_table, "test_table_that_was_given_is_left_as_it_was"),
        (document_with_nan, "test_document_is_json_without_nan"),
        (accepts_any_resource, "test_resource_that_is_not_there_is_refused_by_name"),
    ],
)
def test_contract_catches_a_wrong_score(wrong: Callable[..., Any], test: str) -> None:
    call(contract(score_table), test)

    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        call(contract(wrong), test)


def call(under: ScoreContract, test: str) -> None:
    """Call a test as pytest does, with its first parameter where it has one."""
    parametrized = test == "test_missing_resource_gives_no_score_but_a_reason"
    getattr(under, test)(*[0] * parametrized)


def test_score_where_smaller_is_better_is_held_to_that() -> None:
    from types import SimpleNamespace

    def product(frame: Any, resources: Any) -> Any:
        table = frame.assign(cost=frame["energy"] * frame["time"]).sort_values(["group", "cost"])
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        return SimpleNamespace(flat_rows=rows, name="cost", smaller_is_better=True)

    under = contract(product)
    under.test_costing_more_is_never_better()
    under.test_each_group_has_its_best_first_and_the_unscored_last()
