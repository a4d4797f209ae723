"""Cohorts whose rows do not compare: other machines, meters or kinds of reading in one group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from harness.auditing.evidence import Evidence, Finding, Limits, some

MIXED = "mixed cohort"


def find_mixtures(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield, of each group, the rows that differ from most others in machine, data, or where readings come from."""
    costs = [*evidence.of_kind("cost"), *evidence.of_kind("size")]
    traits = {f"meters of {column.name}": column.origins for column in costs if column.origins is not None}
    for group in range(int(evidence.groups.max(initial=-1)) + 1):
        rows = np.flatnonzero(evidence.groups == group).tolist()
        found: dict[tuple[int, ...], list[tuple[str, str]]] = {}
        for name, values in {**evidence.traits, **traits}.items():
            if (mixture := _mixture(rows, values)) is not None:
                found.setdefault(mixture[0], []).append((name, mixture[1]))
        for others, told in found.items():
            names = tuple(name for name, _ in told)
            yield Finding(MIXED, others, names, f"several {some(names)}: {told[0][1]}")


def _mixture(rows: Sequence[int], values: Sequence[str | None]) -> tuple[tuple[int, ...], str] | None:
    """The rows that have not the most frequent value, and how often each is there; None where there is one only."""
    counted = Counter(value for value in (values[row] for row in rows) if value is not None)
    if len(counted) < 2:
        return None
    usual = counted.most_common(1)[0][0]
    others = tuple(row for row in rows if values[row] not in (usual, None))
    return others, some([f"{value} ({times})" for value, times in counted.most_common()])
