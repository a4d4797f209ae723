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
    """Yield the rows with costs no larger than their uncertainty, or than the step of their column.

    A step is what most values are multiples of: a single one of it may as well be none or two.
    """
    for column in evidence.of_kind("cost"):
        yield from _within_uncertainty(column)
        if column.uncertainty is None or np.isnan(column.uncertainty).all():
            yield from _one_step(column)


def _within_uncertainty(column: Column) -> Iterator[Finding]:
    if column.uncertainty is None:
        return
    for row in np.flatnonzero((column.values > 0) & (column.uncertainty >= column.values)):
        told = f"{column.name} is {column.values[row]:.4g} {column.unit} ± {column.uncertainty[row]:.4g}"
        yield Finding(RESOLUTION, (int(row),), (column.name,), told)


def _one_step(column: Column) -> Iterator[Finding]:
    positive = column.values[column.values > 0]
    if len(np.unique(positive)) < _FEWEST_VALUES:
        return
    step = written_step(positive)
    for row in np.flatnonzero((column.values > 0) & (column.values < 1.5 * step)):
        told = f"{column.name} is {column.values[row]:.4g}, and its readings come in steps of {step:.4g}"
        yield Finding(RESOLUTION, (int(row),), (column.name,), told)
