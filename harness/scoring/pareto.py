"""The Pareto front of performance against resources, and its knee."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.pepr import Codes, Floats

Marks = npt.NDArray[np.bool_]


def pareto_front(costs: npt.ArrayLike, performance: npt.ArrayLike) -> Marks:
    """Return which rows no other row beats: none is at least as good in everything and better in something.

    *costs*, one column for each resource, are to be small and *performance* large. Rows that equal one on the front
    are on it too; rows with a missing (NaN) or infinite value never are.
    """
    spent = np.asarray(costs, dtype=np.float64)
    spent = spent[:, None] if spent.ndim == 1 else spent
    gained = np.asarray(performance, dtype=np.float64)
    known = np.isfinite(gained) & np.isfinite(spent).all(axis=1)
    front = np.zeros(len(gained), dtype=bool)
    if known.any():
        front[known] = _front(spent[known], gained[known])
    return front


def knee(cost: npt.ArrayLike, performance: npt.ArrayLike, front: Marks) -> int | None:
    """Return the row on the *front* that lies farthest above the line from its cheapest to its best point.

    *cost* is one figure for each row, such as the combined R. The cheaper row wins a tie. None with fewer than three
    different points on the front, or where none lies above the line.
    """
    rows = np.flatnonzero(front)
    spent, gained = np.asarray(cost, dtype=np.float64)[rows], np.asarray(performance, dtype=np.float64)[rows]
    if len(rows) < 3 or np.ptp(spent) == 0 or np.ptp(gained) == 0:
        return None

    height = (gained - gained.min()) / np.ptp(gained) - (spent - spent.min()) / np.ptp(spent)
    best = int(np.lexsort((spent, -height))[0])
    # The two ends of the front lie on the line itself, at height 0 but for rounding.
    return int(rows[best]) if height[best] > 1e-12 else None


def fronts_by_group(costs: Floats, performance: Floats, codes: Codes) -> Marks:
    """Return `pareto_front` of each group; *codes* number the groups from 0."""
    front = np.zeros(len(performance), dtype=bool)
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        front[rows] = pareto_front(costs[rows], performance[rows])
    return front


def _front(spent: Floats, gained: Floats) -> Marks:
    if spent.shape[1] == 1:
        return _front_of_two(spent[:, 0], gained)
    import moocore

    marks: Marks = moocore.is_nondominated(np.column_stack([spent, -gained]), keep_weakly=True)
    return marks


def _front_of_two(spent: Floats, gained: Floats) -> Marks:
    """From cheap to dear, a row is on the front if it is the best at its cost, and better than all cheaper ones."""
    order = np.argsort(spent)
    sorted_spent, sorted_gained = spent[order], gained[order]
    first = np.concatenate([[True], sorted_spent[1:] != sorted_spent[:-1]])
    best_at_cost = np.maximum.reduceat(sorted_gained, np.flatnonzero(first))
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(best_at_cost)[:-1]])
    step = np.cumsum(first) - 1
    front = np.zeros(len(spent), dtype=bool)
    front[order] = (sorted_gained == best_at_cost[step]) & (sorted_gained > best_before[step])
    return front
