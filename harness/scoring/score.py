"""The scores of a table, and how they are written: rows, columns and the JSON document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from harness.scoring.bounds import Bounds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas

# harness.score/1: the first.
SCHEMA = "harness.score/1"
_NAMED = ("model", "group", "performance")
_SCORED = ("R", "pepr", "reason", "seeds", "performance_low", "performance_high", "pepr_low", "pepr_high")
_MARKS = ("pareto", "knee")
COLUMNS = frozenset((*_NAMED, *_SCORED, *_MARKS, "seed"))


@frozen(eq=False)
class Score:
    """The scores of a table: `table` has one row for each model and group, each group's best first.

    Its columns are those of the CSV; missing numbers are NaN there, missing text None. `weights` sum to 1; `alone`
    names the resources, by letter, that are also scored each on its own, in columns `pepr_LETTER`; `warnings` are for
    people.
    """

    table: pandas.DataFrame
    weights: Mapping[str, float]
    units: Mapping[str, str | None]
    bounds: Bounds
    alpha: float
    phase: str
    alone: Mapping[str, str] = field(factory=dict)
    warnings: tuple[str, ...] = ()

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
        return {
            "schema": SCHEMA,
            "score": "pepr",
            "alpha": self.alpha,
            "normalize": self.bounds.normalization,
            "phase": self.phase,
            "resources": {name: self._resource(name) for name in self.weights},
            "rows": self.rows,
        }

    def _resource(self, name: str) -> dict[str, Any]:
        groups = self.bounds.groups.get(name, {})
        bounds = {str(group): [low, high] for group, (low, high) in groups.items()}
        return {"weight": self.weights[name], "unit": self.units.get(name), "bounds": bounds}

    def _records(self) -> Iterator[dict[str, Any]]:
        names = self.columns
        for values in zip(*[_plain(self.table[name].to_numpy()) for name in names], strict=True):
            yield dict(zip(names, values, strict=True))

    def _nested(self, record: Mapping[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {name: record[name] for name in _NAMED}
        row["resources"] = {n: {"value": record[n], "normalized": record[f"{n}_n"]} for n in self.weights}
        row |= {name: record[name] for name in _SCORED}
        if self.alone:
            row["scores"] = {letter: record[f"pepr_{letter}"] for letter in self.alone}
        return row | {name: record[name] for name in _MARKS if name in record}


def _plain(values: npt.NDArray[np.generic]) -> list[Any]:
    """Return Python's own numbers and text, None for NaN."""
    plain: list[Any] = values.tolist()
    return [None if isinstance(value, float) and math.isnan(value) else value for value in plain]
