"""From the lines of a table, one for each seed, to its rows, one for each model in a group: means and intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from attrs import frozen

from harness.pepr import Codes, Floats, group_codes
from harness.scoring.intervals import mean_intervals

if TYPE_CHECKING:
    import pandas


@frozen(eq=False)
class Lines:
    """Which row each line of a table belongs to, and which lines count.

    `row` numbers the row of each line; `first` is the first line of each row; `complete` says which lines have all
    that a score needs; `seeds` counts those in each row. `group` numbers the group of each row; `groups` are their
    names.
    """

    row: Codes
    first: Codes
    complete: npt.NDArray[np.bool_]
    seeds: Codes
    group: Codes
    groups: list[Any]

    @property
    def counted(self) -> Codes:
        """The number of seeds that count in each row; of a row that has none of those, of all its lines."""
        return np.where(self.seeds > 0, self.seeds, np.bincount(self.row, minlength=len(self.first)))

    def mean(self, values: Floats) -> Floats:
        """Return each row's mean over its complete lines; of a row that has none, over what there is."""
        known = np.isfinite(values) & (self.complete | (self.seeds == 0)[self.row])
        if len(self.first) == len(self.row):
            return np.where(known, values, np.nan)

        count = np.bincount(self.row[known], minlength=len(self.first))
        total = np.bincount(self.row[known], weights=values[known], minlength=len(self.first))
        with np.errstate(invalid="ignore"):
            return np.asarray(total / count)

    def mean_of_all(self, scores: Floats) -> Floats:
        """Return each row's mean over its complete lines, NaN where one of them has no score: half a mean is none."""
        lost = np.bincount(self.row[self.complete & np.isnan(scores)], minlength=len(self.first)) > 0
        return np.where(lost | (self.seeds == 0), np.nan, self.mean(scores))

    def interval(self, values: Floats, mean: Floats) -> tuple[Floats, Floats]:
        """Return the low and high ends of the 95 % interval of each row's *mean*; NaN for fewer than two seeds."""
        return mean_intervals(values, self.row, self.complete, mean)


def join_seeds(frame: pandas.DataFrame, complete: npt.NDArray[np.bool_]) -> Lines:
    """Return the rows of *frame*: its lines of one model and group are one row if it has a column `seed`."""
    everyone = np.arange(len(frame), dtype=np.intp)
    group, groups = group_codes(frame["group"])
    row, first = (everyone, everyone) if "seed" not in frame else _rows_of(frame, group)
    seeds = np.bincount(row[complete], minlength=len(first)).astype(np.intp)
    return Lines(row, first, complete, seeds, group[first], groups)


def _rows_of(frame: pandas.DataFrame, groups: Codes) -> tuple[Codes, Codes]:
    models, names = group_codes(frame["model"])
    row, keys = group_codes(groups * len(names) + models)
    first = np.full(len(keys), len(row), dtype=np.intp)
    np.minimum.at(first, row, np.arange(len(row), dtype=np.intp))
    return row, first
