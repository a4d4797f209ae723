"""What every score keeps, as a class of tests."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from harness.errors import HarnessError
from harness.testing.scored_example import GROUPS, UNITS, example_frame

if TYPE_CHECKING:
    import pandas

Row = Mapping[str, Any]


class ScoreContract:
    """What every score keeps. Set `reducer`: it is called as `harness score` does, over small tables made here.

    `resources` are the weights it is given, of which each resource must count.
    """

    reducer: ClassVar[Callable[..., Any]]
    resources: ClassVar[Mapping[str, float]] = {"energy": 2.0, "time": 1.0}

    def test_every_model_of_every_group_is_one_row(self) -> None:
        frame = self._frame()

        assert sorted(zip(frame["model"], frame["group"], strict=True)) == sorted(self._rows(frame))

    def test_keeps_performance_and_costs_as_they_were(self) -> None:
        frame, rows = self._frame(), self._rows(self._frame())

        for name in ("performance", *self._weights()):
            given = {(m, g): v for m, g, v in zip(frame["model"], frame["group"], frame[name], strict=True)}
            assert given == pytest.approx({key: row[name] for key, row in rows.items()})

    def test_every_row_has_a_finite_score_or_a_reason(self) -> None:
        for row in self._rows(self._with_gaps()).values():
            told = isinstance(row["reason"], str) and bool(row["reason"].strip())
            assert told == (self._score(row) is None)

    def test_rows_that_lack_nothing_are_scored(self) -> None:
        assert [] == [key for key, row in self._rows(self._frame()).items() if self._score(row) is None]

    @pytest.mark.parametrize("which", [0, -1])
    def test_missing_resource_gives_no_score_but_a_reason(self, which: int) -> None:
        """Missing is not zero, and no guess stands in for it."""
        frame = self._frame()
        frame.loc[0, self._costs()[which]] = math.nan

        row = self._rows(frame)[frame["model"][0], frame["group"][0]]
        assert self._score(row) is None
        assert row["reason"]

    def test_missing_resource_of_one_model_leaves_the_others_their_scores(self) -> None:
        """A row that is not scored takes no part in what the others are held against."""
        self._costs()
        frame = self._frame()
        without = self._scores(frame.drop(index=0))
        frame.loc[0, list(self._weights())] = math.nan

        scores = self._scores(frame)
        assert without == pytest.approx({key: scores[key] for key in without}, nan_ok=True)

    def test_same_table_is_scored_alike(self) -> None:
        assert self._scores(self._frame()) == self._scores(self._frame())

    def test_order_of_the_rows_does_not_matter(self) -> None:
        frame = self._frame()
        turned = frame.iloc[::-1].reset_index(drop=True)

        assert self._scores(frame) == pytest.approx(self._scores(turned))

    def test_groups_are_scored_apart(self) -> None:
        frame = self._frame()
        alone = self._scores(frame[frame["group"] == GROUPS[0]].reset_index(drop=True))

        together = self._scores(frame)
        assert alone == pytest.approx({key: together[key] for key in alone})

    def test_every_resource_counts(self) -> None:
        before = self._scores(self._frame())
        for name in self._weights():
            assert before != pytest.approx(self._scores(_dearer(self._frame(), [name])))

    def test_costing_more_is_never_better(self) -> None:
        """In either direction: `smaller_is_better` of the score says which."""
        frame = self._frame()
        key = frame["model"][1], frame["group"][1]
        cheap = self._scores(frame)[key]

        dear = self._scores(_dearer(frame, self._weights()))[key]
        assert dear >= cheap if self._smaller_is_better() else dear <= cheap

    def test_each_group_has_its_best_first_and_the_unscored_last(self) -> None:
        score = self._scored(self._with_gaps())
        sign = 1 if self._smaller_is_better() else -1
        for group in GROUPS:
            ranked = [self._score(row) for row in score.flat_rows if row["group"] == group]
            assert ranked == sorted(ranked, key=lambda value: math.inf if value is None else sign * value)

    def test_seeds_of_one_model_are_one_row(self) -> None:
        frame = self._frame()
        seeds = frame.loc[frame.index.repeat(2)].reset_index(drop=True)
        seeds["seed"] = [1, 2] * len(frame)

        rows = self._rows(seeds)
        assert len(frame) == len(self._scored(seeds).flat_rows)
        assert {2} == {row["seeds"] for row in rows.values()}

    def test_table_that_was_given_is_left_as_it_was(self) -> None:
        frame = self._with_gaps()
        before = frame.copy(deep=True)
        self._scored(frame)

        assert before.equals(frame)

    def test_document_is_json_without_nan(self) -> None:
        written = json.dumps(self._scored(self._with_gaps()).document(), allow_nan=False)

        assert "harness.score/1" == json.loads(written)["schema"]

    def test_resource_that_is_not_there_is_refused_by_name(self) -> None:
        name = self._costs()[0]

        with pytest.raises(HarnessError, match=name):
            self._scored(self._frame().drop(columns=name))

    def _weights(self) -> dict[str, float]:
        """The resources of the score itself where it names some, else those of the contract."""
        own = getattr(type(self).reducer, "resources", None)
        return dict(self.resources) if own is None else dict.fromkeys(own, 1.0)

    def _costs(self) -> list[str]:
        """The resources that count; skips the test of a score that uses none."""
        return list(self._weights()) or pytest.skip("the score uses no resource")

    def _frame(self) -> pandas.DataFrame:
        return example_frame(list(self._weights()))

    def _with_gaps(self) -> pandas.DataFrame:
        frame = self._frame()
        frame.loc[0, list(self._weights())[:1]] = math.nan
        frame.loc[3, "performance"] = math.nan
        return frame

    def _scored(self, frame: pandas.DataFrame) -> Any:
        """Score *frame* as the harness does: with those options that the score takes."""
        reducer, weights = type(self).reducer, self._weights()
        options = {"units": {name: UNITS.get(name) for name in weights}, "gaps": {}, "alpha": 1.0}
        options |= {"normalization": "minmax", "bounds": None, "phase": "train", "alone": {}, "pareto": False}
        parameters = inspect.signature(reducer).parameters
        takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        return reducer(frame, weights, **{k: v for k, v in options.items() if takes_all or k in parameters})

    def _rows(self, frame: pandas.DataFrame) -> dict[tuple[Any, Any], Row]:
        return {(row["model"], row["group"]): row for row in self._scored(frame).flat_rows}

    def _scores(self, frame: pandas.DataFrame) -> dict[tuple[Any, Any], float]:
        """Return the score of each model and group, NaN for none."""
        found = {key: self._score(row) for key, row in self._rows(frame).items()}
        return {key: math.nan if value is None else value for key, value in found.items()}

    def _score(self, row: Row) -> float | None:
        value = row[self._name()]
        assert value is None or math.isfinite(value)
        return None if value is None else float(value)

    def _name(self) -> str:
        """Return the column of the score: PePR's, or that of a score with a name of its own."""
        return str(getattr(self._scored(self._frame()), "name", "pepr"))

    def _smaller_is_better(self) -> bool:
        return bool(getattr(self._scored(self._frame()), "smaller_is_better", False))


def _dearer(frame: pandas.DataFrame, names: Iterable[str]) -> pandas.DataFrame:
    """Return *frame* with half as much again of the resources *names* in its second row."""
    dear: pandas.DataFrame = frame.copy()
    for name in names:
        dear[name] = frame[name].where(frame.index != 1, 1.5 * frame[name])
    return dear
