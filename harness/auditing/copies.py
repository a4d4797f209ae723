"""Values that two trials share to the last digit, more often than chance would have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.auditing.evidence import Codes, Column, Evidence, Finding, Floats, Limits, some
from harness.auditing.steps import steps_at

READING, METRICS, ROW = "shared reading", "shared metrics", "copied row"
_NEIGHBOURS = (3, 10)
# With too few other values to tell how dense they lie, readings are taken to scatter by this share at least.
_SCATTER = 0.01
Rows = tuple[int, ...]


def find_copies(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the readings, the metrics and the whole rows that different trials share bit for bit."""
    costs, scores = evidence.of_kind("cost"), evidence.of_kind("score")
    shared: dict[Rows, list[str]] = {}
    for column in costs:
        for rows in shared_values(column.values, limits.coincidences):
            shared.setdefault(rows, []).append(column.name)
    alike = set(shared_scores(scores, len(evidence.rows), limits.coincidences))
    found = [_finding(rows, names, costs, scores) for rows, names in shared.items()]
    yield from found
    copied = [set(finding.rows) for finding in found if finding.check == ROW]
    for rows in alike:
        if not any(set(rows) <= known for known in copied):
            told = f"all {len(scores)} metrics are the same to the last digit: a copy, or one network under two names"
            yield Finding(METRICS, rows, tuple(column.name for column in scores), told)


def _finding(rows: Rows, names: list[str], costs: Sequence[Column], scores: Sequence[Column]) -> Finding:
    value = next(column.values[rows[0]] for column in costs if column.name == names[0])
    told = f"{some(names)} the same to the last digit, as by chance no two are ({names[0]} {value:.12g})"
    whole = scores and all(_is_shared(column, rows) for column in [*costs, *scores])
    if not whole:
        return Finding(READING, rows, tuple(names), told)
    columns = tuple(column.name for column in [*costs, *scores] if np.isfinite(column.values[rows[0]]))
    return Finding(ROW, rows, columns, f"all {len(columns)} readings and metrics are the same to the last digit")


def _is_shared(column: Column, rows: Rows) -> bool:
    values = column.values[list(rows)]
    return bool(np.isnan(values).all() or (values == values[0]).all())


def shared_values(values: Floats, coincidences: float) -> list[Rows]:
    """Return the rows of each value that several hold though fewer than *coincidences* equal pairs are to be expected.

    How many are is told by the step of the values and by how dense different values lie around the shared one.
    """
    known = np.flatnonzero(np.isfinite(values) & (values > 0))
    distinct, code, often = np.unique(values[known], return_inverse=True, return_counts=True)
    tied = np.flatnonzero(often > 1)
    if not len(tied):
        return []
    expected = len(known) / 2 * steps_at(values[known], distinct[tied]) * _density(distinct, tied)
    told = {int(one) for one, chance in zip(tied, expected, strict=True) if chance < coincidences}
    return _rows_by_code(known, code, told)


def _density(distinct: Floats, at: Codes) -> Floats:
    """How many values per unit lie around each of the distinct ones in *at*: the densest of some neighbourhoods."""
    found = len(distinct) / (2 * _SCATTER * distinct[at]) if len(distinct) <= _NEIGHBOURS[0] else np.zeros(len(at))
    for count in _NEIGHBOURS:
        if count < len(distinct):
            found = np.maximum(found, count / (2 * _reach(distinct, at, count)))
    return np.asarray(found, dtype=np.float64)


def _reach(distinct: Floats, at: Codes, count: int) -> Floats:
    """How far from each of the sorted values in *at* its neighbour number *count* lies."""
    padded = np.concatenate([np.full(count, -np.inf), distinct, np.full(count, np.inf)])
    around = np.abs(padded[at[:, None] + np.arange(2 * count + 1)] - distinct[at][:, None])
    return np.asarray(np.sort(around, axis=1)[:, count], dtype=np.float64)


def shared_scores(scores: Sequence[Column], size: int, coincidences: float) -> list[Rows]:
    """Return the rows that share every score, where fewer than *coincidences* such pairs are expected by chance.

    A score is as likely by chance as it is frequent in its column, but counts only once in a row: a model that always
    gives one answer has the same accuracy after each epoch, and shares it with others.
    """
    if not scores or size < 2:
        return []
    values = np.stack([column.values for column in scores], axis=1)
    _, code, often = np.unique(values, axis=0, return_inverse=True, return_counts=True, equal_nan=True)
    code = code.reshape(-1)
    told = set()
    for one in np.flatnonzero(often > 1):
        chance = _chance(values, values[int(np.argmax(code == one))])
        if size * (size - 1) / 2 * chance < coincidences:
            told.add(int(one))
    return _rows_by_code(np.arange(size), code, told)


def _chance(values: Floats, row: Floats) -> float:
    """The probability that another row holds what *row* does."""
    chances: dict[float, float] = {}
    for place in np.flatnonzero(np.isfinite(row)):
        same = np.count_nonzero(values[:, place] == row[place]) - 1
        share = same / max(1, np.count_nonzero(np.isfinite(values[:, place])) - 1)
        chances[float(row[place])] = max(share, chances.get(float(row[place]), 0.0))
    return float(np.prod([*chances.values()])) if chances else 1.0


def _rows_by_code(rows: Codes, codes: Codes, wanted: set[int]) -> list[Rows]:
    found: dict[int, list[int]] = {}
    for row, code in zip(rows.tolist(), codes.tolist(), strict=True):
        if code in wanted:
            found.setdefault(code, []).append(row)
    return [tuple(one) for one in found.values()]
