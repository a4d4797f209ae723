"""Accuracies that no number of right answers gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.auditing.evidence import Column, Evidence, Finding, Floats, Limits, some
from harness.auditing.image_counts import EXACT, find_count

MULTIPLE, RANGE = "impossible accuracy", "outside 0 to 1"
_SHIFTS = tuple(tenth / 10 for tenth in range(1, 10))


def find_impossible(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows whose accuracies are no multiples of 1/n where others of their group are, n images tested."""
    wrong: dict[tuple[int, int, float], list[Column]] = {}
    for column in evidence.of_kind("score"):
        counts, noise = _counts(column, evidence, limits)
        for row in np.flatnonzero(~_are_multiples(column.values, counts, noise)).tolist():
            wrong.setdefault((row, int(counts[row]), float(noise[row])), []).append(column)
    for (row, count, unsure), columns in wrong.items():
        names = tuple(column.name for column in columns)
        told = _reason(float(columns[-1].values[row]), count, unsure)
        yield Finding(MULTIPLE, (row,), names, f"{some(names)}: {told}")


def find_outside(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows whose performance is below 0 or above 1."""
    performance = evidence.column("performance").values
    for row in np.flatnonzero((performance < 0) | (performance > 1)).tolist():
        yield Finding(RANGE, (row,), ("performance",), f"performance {performance[row]:.6g} is outside 0 to 1")


def _counts(column: Column, evidence: Evidence, limits: Limits) -> tuple[Floats, Floats]:
    """The number of images that each score counts over: known, else what the group's scores tell; NaN: no accuracy.

    With it, how far from a multiple of 1/n each score may lie.
    """
    known = np.full(len(column.values), np.nan) if column.images is None else column.images
    counts, noise = np.full(len(known), np.nan), np.full(len(known), EXACT)
    told = np.isfinite(known) & np.isfinite(column.values)
    # Two by chance are out of the question, but a performance that is no accuracy at all is not.
    if 2 <= np.count_nonzero(_are_multiples(column.values, known, noise) & told) >= np.count_nonzero(told) / 2:
        counts = known.copy()
    for group in range(int(evidence.groups.max(initial=-1)) + 1):
        inside = (evidence.groups == group) & np.isnan(known)
        counts[inside], noise[inside] = _estimate(column.values[inside], limits.multiples)
    return counts, noise


def _estimate(scores: Floats, share: float) -> tuple[float, float]:
    finite = scores[np.isfinite(scores)]
    found = find_count(finite)
    if found is None or _are_multiples(finite, float(found.n), found.noise).mean() < share:
        return np.nan, EXACT
    return float(found.n), found.noise


def _are_multiples(
    scores: Floats, counts: Floats | float, noise: Floats | float
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of *scores* are multiples of 1/n; those that are missing, and those without an n, count as such."""
    right = scores * counts
    return ~(np.abs(right - np.round(right)) > noise * counts)


def _reason(score: float, count: int, noise: float) -> str:
    told = f"{score:.6g} is no multiple of 1/{count} ({score * count:.2f} of {count})"
    shifts = [shift for shift in _SHIFTS if _fits(score - shift, count, noise)]
    return f"{told}, but less {' or '.join(f'{shift:g}' for shift in shifts)} it is one" if shifts else told


def _fits(score: float, count: int, noise: float) -> bool:
    return 0 <= score <= 1 and bool(_are_multiples(np.array([score]), count, noise)[0])
