"""The scores of a table, and how they are written: rows, columns and the JSON document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from harness.scoring.bounds import Bounds
from harness.scoring.stability import Stability

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas

# harness.score/1: the first.
SCHEMA = "harness.score/1"
PEPR = "pepr"
NAMED = ("model", "group", "performance")
_MARKS = ("pareto", "knee")
_SEEDS = ("interval", "probability_first", "probability_beats_next")


def scored_columns(name: str) -> tuple[str, ...]:
    """Return the columns of what is computed, for the score *name*."""
    computed = ("R", name) if name == PEPR else (name,)
    return (*computed, "reason", "seeds", "performance_low", "performance_high", f"{name}_low", f"{name}_high")


COLUMNS = frozenset((*NAMED, *scored_columns(PEPR), *_MARKS, *_SEEDS, "seed"))


@frozen(eq=False)
class Score:
    """The scores of a table: `table` has one row for each model and group, each group's best first.

    Its columns are those of the CSV; missing numbers are NaN there, missing text None. `weights` sum to 1; `alone`
    names the resources, by letter, that are also scored each on its own, in columns `pepr_LETTER`; `warnings` are for
    people. A score that is not PePR has another `name`, which is that of its column, and perhaps no `bounds` and no
    `alpha`; `unit` and `smaller_is_better` say how to read it.
    """

    table: pandas.DataFrame
    weights: Mapping[str, float]
    units: Mapping[str, str | None]
    bounds: Bounds | None
    alpha: float | None
    phase: str
    alone: Mapping[str, str] = field(factory=dict)
    warnings: tuple[str, ...] = ()
    name: str = PEPR
    unit: str | None = None
    smaller_is_better: bool = False
    stability: Stability | None = None

    @property
    def columns(self) -> list[str]:
        """The columns of the CSV: those of the JSON's rows, a resource's as `energy` and `energy_n`."""
        return list(self.table.columns)

    @property
    def flat_rows(self) -> list[dict[str, Any]]:
        """The rows as CSV and Parquet have them, one value for each of `columns`; what is missing is None."""
        return list(self._records())

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as the JSON document has them; what is missing is None."""
        return [self._nested(record) for record in self._records()]

    def document(self) -> dict[str, Any]:
        """Return the JSON document `harness.score/1`."""
        about: dict[str, Any] = {"schema": SCHEMA, "score": self.name}
        if self.name != PEPR:
            about |= {"unit": self.unit, "smaller_is_better": self.smaller_is_better}
        if self.bounds is not None:
            about |= {"alpha": self.alpha, "normalize": self.bounds.normalization}
        resources = {name: self._resource(name) for name in self.weights}
        chances = {} if self.stability is None else {"stability": self.stability.document()}
        return about | {"phase": self.phase, "resources": resources, **chances, "rows": self.rows}

    def _resource(self, name: str) -> dict[str, Any]:
        about = {"weight": self.weights[name], "unit": self.units.get(name)}
        if self.bounds is None:
            return about
        groups = self.bounds.groups.get(name, {})
        return about | {"bounds": {str(group): [low, high] for group, (low, high) in groups.items()}}

    def _records(self) -> Iterator[dict[str, Any]]:
        names = self.columns
        for values in zip(*[_plain(self.table[name].to_numpy()) for name in names], strict=True):
            yield dict(zip(names, values, strict=True))

    def _nested(self, record: Mapping[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {name: record[name] for name in NAMED}
        row["resources"] = {name: _resource_of(record, name) for name in self.weights}
        row |= {name: record[name] for name in scored_columns(self.name)}
        if self.alone:
            row["scores"] = {letter: record[f"pepr_{letter}"] for letter in self.alone}
        return row | {name: record[name] for name in (*_MARKS, *_SEEDS) if name in record}


def _resource_of(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    more = {"normalized": f"{name}_n", "low": f"{name}_low", "high": f"{name}_high"}
    return {"value": record[name]} | {key: record[column] for key, column in more.items() if column in record}


def _plain(values: npt.NDArray[np.generic]) -> list[Any]:
    """Return Python's own numbers and text, None for NaN."""
    plain: list[Any] = values.tolist()
    return [None if isinstance(value, float) and math.isnan(value) else value for value in plain]
