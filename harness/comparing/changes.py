"""From two runs' values of one measure to how each row changed, and between which ends the change surely lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from harness.comparing.twin_values import TwinValues, Values
from harness.pepr import Floats
from harness.scoring.intervals import interval_method
from harness.scoring.seeds import Lines, join_seeds

if TYPE_CHECKING:
    import pandas

READINGS = "readings"


@frozen(eq=False)
class Changes:
    """How one measure changed in each row `[rows]`: `a` and `b` are means, `change` that of the trials' changes.

    `low` and `high` are the ends of what the change may be, NaN where nothing is known of that; `method` says from
    what: "t", "bootstrap", "readings", or None.
    """

    lines: Lines
    a: Floats
    b: Floats
    change: Floats
    low: Floats
    high: Floats
    method: list[str | None]


def changes_of(frame: pandas.DataFrame, values: TwinValues, percent: bool) -> Changes:
    """Return the changes of the rows of *frame*, in *percent* of the first run or in the measure's unit.

    Each trial is compared with its twin, and a row's change is the mean over its seeds. Two things make it unsure: how
    its seeds differ (a 95 % interval of the mean), and the error bars of the readings, which may be off alike in every
    seed and so are not averaged away. The ends are the wider of the two.
    """
    change = _change(values.a.value, values.b.value, percent)
    lines = join_seeds(frame, np.isfinite(change))
    mean = lines.mean(change)
    by_seeds = lines.interval(change, mean)
    by_readings = [_mean_of_all(lines, end) for end in _ends(values.a, values.b, percent)]
    low, high = np.fmin(by_seeds[0], by_readings[0]), np.fmax(by_seeds[1], by_readings[1])
    a, b = lines.mean(values.a.value), lines.mean(values.b.value)
    methods = [interval_method(int(seeds)) for seeds in lines.seeds]
    known = np.isfinite(by_readings[0]) | np.isfinite(by_readings[1])
    told = [method or (READINGS if bar else None) for method, bar in zip(methods, known, strict=True)]
    return Changes(lines, a, b, mean, low, high, told)


def _mean_of_all(lines: Lines, ends: Floats) -> Floats:
    """The mean over the seeds; NaN where one of them has no error bar."""
    found = np.bincount(lines.row[lines.complete], weights=ends[lines.complete], minlength=len(lines.first))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(found / lines.seeds)


def _change(a: Floats, b: Floats, percent: bool) -> Floats:
    """The change from *a* to *b*; none in percent of zero, unless both are."""
    with np.errstate(all="ignore"):
        if not percent:
            return b - a
        found = (b - a) / np.abs(a) * 100
        return np.where((a == 0) & (b == 0), 0.0, np.where(np.isfinite(found), found, np.nan))


def _ends(a: Values, b: Values, percent: bool) -> tuple[Floats, Floats]:
    with np.errstate(all="ignore"):
        if not percent:
            return b.low - a.high, b.high - a.low
        # A first reading that may be zero may have grown without bound.
        most = np.where(a.low > 0, (b.high / a.low - 1) * 100, np.where(np.isnan(a.low), np.nan, np.inf))
        return (b.low / a.high - 1) * 100, most
