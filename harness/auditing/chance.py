"""How likely it is that two rows hold the same value by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen

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


@frozen(eq=False)
class Likely:
    """How likely the value of each row is to be that of another by its step and density, and how many rows have it."""

    chance: Floats
    rows: Codes

    def of(self, rows: Sequence[int]) -> float:
        """Return how likely another row has the value that all *rows* have: as many as do beside them, at least."""
        return max(float(self.chance[rows[0]]), float(self.rows[rows[0]] - len(rows)) / len(self.chance))


def likely_costs(values: Floats) -> Likely:
    """Return how likely each cost is; it is certain where it is missing or not positive."""
    return _likely(values, None)


def likely_energies(energy: Floats, time: Floats) -> Likely:
    """Return how likely each energy is among rows that take the same time: as likely as the same power."""
    known = (energy > 0) & (time > 0)
    powers, step = np.full((2, len(energy)), np.nan)
    powers[known] = energy[known] / time[known]
    if known.any():
        step[known] = steps_at(energy[known], energy[known]) / time[known]
    return _likely(powers, step)


def _likely(values: Floats, step: Floats | None) -> Likely:
    known = np.flatnonzero(np.isfinite(values) & (values > 0))
    chance, rows = np.ones(len(values)), np.ones(len(values), dtype=np.intp)
    if len(known):
        distinct, first, code, often = np.unique(
            values[known], return_index=True, return_inverse=True, return_counts=True
        )
        wide = None if step is None else step[known][first]
        chance[known] = chances(values[known], distinct, np.arange(len(distinct)), wide)[code]
        rows[known] = often[code]
    return Likely(chance, rows)


def likely_scores(values: Floats) -> Floats:
    """Return how frequent each of the scores *values* (rows, columns) is among the other rows, NaN where missing."""
    shares = np.full(values.shape, np.nan)
    for place in range(values.shape[1]):
        known = np.flatnonzero(np.isfinite(values[:, place]))
        _, code, often = np.unique(values[known, place], return_inverse=True, return_counts=True)
        shares[known, place] = (often[code] - 1) / max(1, len(known) - 1)
    return shares


def chance_of_scores(scores: Floats, shares: Floats) -> float:
    """Return how likely another row has these *scores*, as frequent as *shares* says.

    Each counts only once in a row: a model that always gives one answer has the same accuracy after each epoch, and
    shares it with others.
    """
    found: dict[float, float] = {}
    for score, share in zip(scores.tolist(), shares.tolist(), strict=True):
        if share == share:
            found[score] = max(share, found.get(score, 0.0))
    return float(np.prod([*found.values()])) if found else 1.0
