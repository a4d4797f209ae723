"""From two runs' values of one measure to how each row changed, and between which ends the change surely lies."""

from __future__ import annotations

import functools
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
    what: "t", "bootstrap", "readings", two of them joined by "and", or None.
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
    seed and so are not averaged away. One says nothing of the other, so the distances to the ends add as their squares.
    """
    change = _change(values.a.value, values.b.value, percent)
    lines = join_seeds(frame, np.isfinite(change))
    mean = lines.mean(change)
    by_seeds = lines.interval(change, mean)
    by_readings = [_mean_of_all(lines, end) for end in _ends(values.a, values.b, percent)]
    below, above = (_joined(mean, *ends) for ends in zip(by_seeds, by_readings, strict=True))
    a, b = lines.mean(values.a.value), lines.mean(values.b.value)
    barred = np.isfinite(by_readings[0]) | np.isfinite(by_readings[1])
    told = [_told(seeds, bar) for seeds, bar in zip(lines.seeds.tolist(), barred.tolist(), strict=True)]
    return Changes(lines, a, b, mean, mean - below, mean + above, told)


@functools.cache
def _told(seeds: int, barred: bool) -> str | None:
    return " and ".join(filter(None, (interval_method(seeds), READINGS if barred else None))) or None


def _joined(mean: Floats, one: Floats, other: Floats) -> Floats:
    """Return how far an end of the interval is from the *mean*, by two ends; NaN where both are."""
    offs = [np.where(np.isnan(end), 0.0, np.abs(end - mean)) for end in (one, other)]
    return np.where(np.isnan(one) & np.isnan(other), np.nan, np.hypot(*offs))


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
    """The least and the most that the change may be, given the error bars."""
    with np.errstate(all="ignore"):
        if not percent:
            return b.low - a.high, b.high - a.low
        size = np.stack([np.abs(a.low), np.abs(a.high)])
        # From a first reading that may be zero it may have grown without bound.
        size = np.where((a.low <= 0) & (a.high >= 0), np.stack([np.zeros_like(a.low), size.max(axis=0)]), size)
        corners = np.concatenate([b.low / size, b.high / size])
        # b / |a| less the sign of a is (b - a) / |a|.
        low, high = np.fmin.reduce(corners) - np.sign(a.value), np.fmax.reduce(corners) - np.sign(a.value)
        unsure = (a.low < 0) & (a.high > 0)
        return np.where(unsure, -np.inf, low * 100), np.where(unsure, np.inf, high * 100)
