"""Values that two trials share to the last digit, more often than chance would have it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from harness.auditing.chance import Likely, chance_of_scores, chances, likely_costs, likely_energies, likely_scores
from harness.auditing.evidence import Codes, Column, Evidence, Finding, Floats, Limits, some

READING, METRICS, ROW = "shared reading", "shared metrics", "copied row"
# Of the rows found for their number one in ten may be right.
_BY_CHANCE = 0.1
Rows = tuple[int, ...]


def find_copies(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the readings, the metrics and the whole rows that different trials share bit for bit."""
    costs, scores = evidence.of_kind("cost"), evidence.of_kind("score")
    whole = shared_rows(evidence, limits.coincidences)
    copied = {row: rows for rows in whole for row in rows}
    shared: dict[Rows, list[str]] = {}
    for column in costs:
        for rows in shared_values(column.values, limits.coincidences):
            shared.setdefault(rows, []).append(column.name)
    for rows, names in shared.items():
        if copied.get(rows[0]) != rows:
            yield _readings(rows, names, costs)
    yield from (_row(rows, [*costs, *scores]) for rows in whole)
    for rows in shared_scores(scores, len(evidence.rows), limits.coincidences):
        if not set(rows) <= {*copied.get(rows[0], ())}:
            told = f"all {len(scores)} metrics are the same to the last digit: a copy, or one network under two names"
            yield Finding(METRICS, rows, tuple(column.name for column in scores), told)


def _readings(rows: Rows, names: Sequence[str], costs: Sequence[Column]) -> Finding:
    value = next(column.values[rows[0]] for column in costs if column.name == names[0])
    told = f"{some(names)} the same to the last digit, as by chance no two are ({names[0]} {value:.12g})"
    return Finding(READING, rows, tuple(names), told)


def _row(rows: Rows, columns: Sequence[Column]) -> Finding:
    names = tuple(column.name for column in columns if np.isfinite(column.values[rows[0]]))
    return Finding(ROW, rows, names, f"all {len(names)} readings and metrics are the same to the last digit")


def shared_values(values: Floats, coincidences: float) -> list[Rows]:
    """Return the rows of each value that several hold though fewer than *coincidences* equal pairs are to be expected.

    How many are is told by the step of the values and by how dense different values lie around the shared one. Where
    chance explains some pairs, but so many are there that it makes a tenth of them at most, all of them are returned.
    """
    known = np.flatnonzero(np.isfinite(values) & (values > 0))
    distinct, code, often = np.unique(values[known], return_inverse=True, return_counts=True)
    if not (often > 1).any():
        return []
    chance = chances(values[known], distinct, np.arange(len(distinct)))
    told = (chance * len(known) ** 2 / 2 < coincidences) | _more_than_expected(chance, often, coincidences)
    return _rows_by_code(known, code, {int(one) for one in np.flatnonzero(told & (often > 1))})


def _more_than_expected(chance: Floats, often: Codes, coincidences: float) -> npt.NDArray[np.bool_]:
    """The values so little likely to be equal that among all such far more are than by *chance* (Poisson, Chernoff)."""
    order = np.argsort(chance, kind="stable")
    expected = np.cumsum((chance * often)[order]) * often.sum() / 2
    pairs = np.cumsum(often[order] - 1)
    at_least = np.maximum(pairs, 1)
    log_chance = at_least - expected - at_least * np.log(at_least / expected)
    believed = (log_chance < np.log(coincidences)) & (expected <= _BY_CHANCE * pairs)
    found = np.zeros(len(chance), dtype=np.bool_)
    found[order[: int(np.flatnonzero(believed).max(initial=-1)) + 1]] = True
    return found


def shared_scores(scores: Sequence[Column], size: int, coincidences: float) -> list[Rows]:
    """Return the rows that share every score, where fewer than *coincidences* such pairs are expected by chance."""
    if not scores:
        return []
    values = np.stack([column.values for column in scores], axis=1)
    shares, pairs = likely_scores(values), size * (size - 1) / 2
    return [
        rows for rows in _alike(values) if pairs * chance_of_scores(values[rows[0]], shares[rows[0]]) < coincidences
    ]


def shared_rows(evidence: Evidence, coincidences: float) -> list[Rows]:
    """Return the rows that share every cost and every score, where fewer than *coincidences* such pairs are expected.

    Readings and metrics too coarse to tell a copy each for itself do so together.
    """
    costs, scores = evidence.of_kind("cost"), evidence.of_kind("score")
    if not costs or not scores:
        return []
    values = np.stack([column.values for column in scores], axis=1)
    alike = _alike(np.column_stack([values, *(column.values for column in costs)]))
    if not alike:
        return []
    chances_of, shares, pairs = _chances_of_costs(evidence, costs), likely_scores(values), len(values) ** 2 / 2
    found = []
    for rows in alike:
        chance = pairs * min(math.prod(one.of(rows) for one in together) for together in chances_of)
        if min(chance, chance * chance_of_scores(values[rows[0]], shares[rows[0]])) < coincidences:
            found.append(rows)
    return found


def _chances_of_costs(evidence: Evidence, costs: Sequence[Column]) -> list[tuple[Likely, ...]]:
    """What says how likely another row has the same costs: each of them alone, and each time with its power.

    Other costs follow from these; to count them too would be to count one coincidence twice.
    """
    alone = {column.name: likely_costs(column.values) for column in costs}
    both = [
        (alone[time], likely_energies(evidence.column(energy).values, evidence.column(time).values))
        for energy, time in evidence.powers
        if time in alone and energy in alone
    ]
    return [*((one,) for one in alone.values()), *both]


def _alike(values: Floats) -> list[Rows]:
    """The rows of each set of rows of *values* that are the same throughout, a gap for a gap."""
    _, code, often = np.unique(values, axis=0, return_inverse=True, return_counts=True, equal_nan=True)
    return _rows_by_code(np.arange(len(values)), code.reshape(-1), {int(one) for one in np.flatnonzero(often > 1)})


def _rows_by_code(rows: Codes, codes: Codes, wanted: set[int]) -> list[Rows]:
    found: dict[int, list[int]] = {}
    for row, code in zip(rows.tolist(), codes.tolist(), strict=True):
        if code in wanted:
            found.setdefault(code, []).append(row)
    return [tuple(one) for one in found.values()]
