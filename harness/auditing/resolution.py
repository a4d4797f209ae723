"""Readings so small that their meter cannot tell them from nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.auditing.evidence import Column, Evidence, Finding, Limits
from harness.auditing.steps import written_step

RESOLUTION = "below the meter's resolution"
# Fewer may well be multiples of more than their step.
_FEWEST_VALUES = 8


def find_unresolved(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield, of each column, the rows whose cost is no larger than its uncertainty, or than the step of the column.

    A step is what most values are multiples of: a single one of it may as well be none or two.
    """
    for column in evidence.of_kind("cost"):
        yield from _within_uncertainty(column)
        if column.uncertainty is None or np.isnan(column.uncertainty).all():
            yield from _one_step(column)


def _within_uncertainty(column: Column) -> Iterator[Finding]:
    if column.uncertainty is None:
        return
    rows = np.flatnonzero((column.values >= 0) & (column.uncertainty >= column.values))
    if len(rows):
        least, unsure = column.values[rows[0]], column.uncertainty[rows[0]]
        told = f"{column.name} is {least:.4g} {column.unit} ± {unsure:.4g}"
        yield Finding(RESOLUTION, tuple(rows.tolist()), (column.name,), _and_others(told, len(rows)))


def _one_step(column: Column) -> Iterator[Finding]:
    positive = column.values[column.values > 0]
    if len(np.unique(positive)) < _FEWEST_VALUES:
        return
    step = written_step(positive)
    rows = np.flatnonzero((column.values > 0) & (column.values < 1.5 * step))
    if len(rows):
        told = f"{column.name} is {column.values[rows[0]]:.4g}, and its readings come in steps of {step:.4g}"
        yield Finding(RESOLUTION, tuple(rows.tolist()), (column.name,), _and_others(told, len(rows)))


def _and_others(told: str, rows: int) -> str:
    return told if rows == 1 else f"{told}; so in {rows} rows"
