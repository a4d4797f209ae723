"""How likely it is that two rows hold the same value by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.auditing.evidence import Codes, Floats
from harness.auditing.steps import steps_at

_NEIGHBOURS = (3, 10)
# With too few other values to tell how dense they lie, readings are taken to scatter by this share at least.
_SCATTER = 0.01


def chances(values: Floats, distinct: Floats, at: Codes, step: Floats | None = None) -> Floats:
    """Return how likely another of the positive *values* is the same as each of the sorted *distinct* ones in *at*.

    That is told by the *step* around each (that of the column, where None) and by how dense different values lie.
    """
    step = steps_at(values, distinct[at]) if step is None else step
    return np.asarray(np.minimum(step * _density(distinct, at) / len(values), 1.0), dtype=np.float64)


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


def chance_of_cost(values: Floats, rows: Sequence[int]) -> float:
    """Return how likely another row has the cost that all *rows* have; 1 where that is none."""
    return _chance_of(values, rows) if values[rows[0]] > 0 else 1.0


def chance_of_energy(energy: Floats, time: Floats, rows: Sequence[int]) -> float:
    """Return how likely another row that takes the time of *rows* has their energy, too: that of the same power."""
    shared = energy[[rows[0]]], time[[rows[0]]]
    if not (shared[0] > 0 and shared[1] > 0):
        return 1.0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        powers = energy / time
    return _chance_of(powers, rows, steps_at(energy[np.isfinite(energy) & (energy > 0)], shared[0]) / shared[1])


def _chance_of(values: Floats, rows: Sequence[int], step: Floats | None = None) -> float:
    """That of `chances`, or how many rows beside *rows* have the same value if that is more."""
    known = values[np.isfinite(values) & (values > 0)]
    distinct, often = np.unique(known, return_counts=True)
    at = np.flatnonzero(distinct == values[rows[0]])
    if not len(at):
        return 1.0
    found = float(chances(known, distinct, at, step)[0])
    return max(found, float(often[at[0]] - len(rows)) / len(known))


def chance_of_scores(values: Floats, row: Floats) -> float:
    """Return how likely another row of the scores *values* (rows, columns) holds what *row* does.

    A score is as likely as it is frequent in its column, but counts only once in a row: a model that always gives one
    answer has the same accuracy after each epoch, and shares it with others.
    """
    found: dict[float, float] = {}
    for place in np.flatnonzero(np.isfinite(row)):
        same = np.count_nonzero(values[:, place] == row[place]) - 1
        share = same / max(1, np.count_nonzero(np.isfinite(values[:, place])) - 1)
        found[float(row[place])] = max(share, found.get(float(row[place]), 0.0))
    return float(np.prod([*found.values()])) if found else 1.0
