"""Accuracies that no number of right answers gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.auditing.evidence import Column, Evidence, Finding, Floats, Limits, some
from harness.auditing.steps import find_count

MULTIPLE, RANGE = "impossible accuracy", "outside 0 to 1"
# Single precision keeps seven digits, and no test set has so many images that 1/n comes near.
_NOISE = 1e-7
_SHIFTS = tuple(tenth / 10 for tenth in range(1, 10))


def find_impossible(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows whose accuracies are no multiples of 1/n where others of their group are, n images tested."""
    wrong: dict[tuple[int, int], list[Column]] = {}
    for column in evidence.of_kind("score"):
        counts = _counts(column, evidence, limits)
        for row in np.flatnonzero(~_are_multiples(column.values, counts)).tolist():
            wrong.setdefault((row, int(counts[row])), []).append(column)
    for (row, count), columns in wrong.items():
        names = tuple(column.name for column in columns)
        told = _reason(float(columns[-1].values[row]), count)
        yield Finding(MULTIPLE, (row,), names, f"{some(names)}: {told}")


def find_outside(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows whose performance is below 0 or above 1."""
    performance = evidence.column("performance").values
    for row in np.flatnonzero((performance < 0) | (performance > 1)).tolist():
        yield Finding(RANGE, (row,), ("performance",), f"performance {performance[row]:.6g} is outside 0 to 1")


def _counts(column: Column, evidence: Evidence, limits: Limits) -> Floats:
    """The number of images that each score counts over: known, else what the group's scores tell; NaN: no accuracy."""
    counts = np.full(len(column.values), np.nan)
    known = np.full(len(counts), np.nan) if column.images is None else column.images
    fits = _are_multiples(column.values, known) & np.isfinite(known) & np.isfinite(column.values)
    # Two by chance are out of the question, but a performance that is no accuracy at all is not.
    if 2 <= fits.sum() >= np.count_nonzero(np.isfinite(known) & np.isfinite(column.values)) / 2:
        counts = known.copy()
    for group in range(int(evidence.groups.max(initial=-1)) + 1):
        inside = (evidence.groups == group) & np.isnan(known)
        counts[inside] = _estimate(column.values[inside], limits.multiples)
    return counts


def _estimate(scores: Floats, share: float) -> float:
    finite = scores[np.isfinite(scores)]
    count = find_count(finite)
    if count is None or _are_multiples(finite, np.full(len(finite), float(count))).mean() < share:
        return np.nan
    return float(count)


def _are_multiples(scores: Floats, counts: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of *scores* are multiples of 1/n; those that are missing, and those without an n, count as such."""
    right = scores * counts
    return ~(np.abs(right - np.round(right)) > _NOISE * counts)


def _reason(score: float, count: int) -> str:
    told = f"{score:.6g} is no multiple of 1/{count} ({score * count:.2f} of {count})"
    shifts = [shift for shift in _SHIFTS if _fits(score - shift, count)]
    return f"{told}, but less {' or '.join(f'{shift:g}' for shift in shifts)} it is one" if shifts else told


def _fits(score: float, count: int) -> bool:
    return 0 <= score <= 1 and bool(_are_multiples(np.array([score]), np.array([float(count)]))[0])
