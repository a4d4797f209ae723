"""PePR, performance per resource unit: normalisation, weights and the score, as pure functions over arrays.

NaN means missing, here and nowhere else: what is missing gets no score and takes no part in the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError, unknown

if TYPE_CHECKING:
    import pandas

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

NORMALIZATIONS = ("minmax", "max", "robust")
_ROBUST_PERCENTILES = (5.0, 95.0)


def pepr(performance: npt.ArrayLike, cost: npt.ArrayLike, alpha: float = 1.0) -> Floats:
    """Return alpha P / (alpha + R) for performance P and normalised cost R; NaN where one of them is missing.

    R below 0 (cheaper than the bounds) raises the score; at R <= -alpha there is none. Raises HarnessError for an
    alpha below 1.
    """
    if not (1.0 <= alpha < math.inf):
        raise HarnessError(f"alpha must be a number from 1 up, is {alpha}")

    gained, spent = _finite(performance), alpha + _finite(cost)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = alpha * gained / spent
    return np.where(spent > 0, score, np.nan)


def scale_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Return *weights* scaled to sum to 1. Raises HarnessError where one is negative or not finite, or all are 0."""
    for name, weight in weights.items():
        if not (0 <= weight < math.inf):
            raise HarnessError(f"the weight of {name!r} must be a number from 0 up, is {weight}")
    largest = max(weights.values(), default=0.0)
    if largest == 0:
        raise HarnessError(f"all weights are 0 ({', '.join(weights)}); give one resource a weight above 0")

    parts = {name: weight / largest for name, weight in weights.items()}
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items()}


def group_codes(labels: Sequence[Any] | npt.NDArray[Any] | pandas.Series[Any]) -> tuple[Codes, list[Any]]:
    """Return (a number for each row's group, counted from 0; the groups in the order they appear)."""
    import pandas

    known = labels if isinstance(labels, (pandas.Series, np.ndarray)) else np.asarray(labels, dtype=object)
    codes, names = pandas.factorize(known, use_na_sentinel=False)
    return codes.astype(np.intp, copy=False), list(names)


def cohort_bounds(values: npt.ArrayLike, codes: Codes | None = None, method: str = "minmax") -> Floats:
    """Return the (low, high) of each group, one row for each; NaN for a group with no value.

    `minmax`: smallest and largest; `max`: 0 and the largest; `robust`: 5th and 95th percentile.
    """
    if method not in NORMALIZATIONS:
        raise unknown("normalisation", method, NORMALIZATIONS)
    numbers = _finite(values)
    codes = np.zeros(len(numbers), np.intp) if codes is None else codes
    count = int(codes.max()) + 1 if len(codes) else 0
    known = ~np.isnan(numbers)
    if not known.all():
        numbers, codes = numbers[known], codes[known]

    return _percentiles(numbers, codes, count) if method == "robust" else _extremes(numbers, codes, count, method)


def normalize(values: npt.ArrayLike, bounds: Floats, codes: Codes | None = None, *, clip: bool = False) -> Floats:
    """Return (r - low) / (high - low) with the *bounds* of each value's group; *clip* keeps it within 0 and 1.

    Where low and high are the same, the value at them is 0 and any other has no answer (NaN).
    """
    numbers = _finite(values)
    low, high = bounds[:, 0], bounds[:, 1]
    low, high = (low[:1], high[:1]) if codes is None else (low[codes], high[codes])
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = (numbers - low) / (high - low)
    cost[(low == high) & (numbers == low)] = 0.0
    # A value beside bounds that are one point is infinitely far off: clipped it has a place, else it has none.
    return _finite(np.clip(cost, 0.0, 1.0) if clip else cost)


def combine(costs: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Return R, the weighted sum of normalised *costs*; weights are scaled to sum to 1.

    Missing where a resource with a weight above 0 is missing.
    """
    scaled = scale_weights(weights)
    total = np.zeros(len(next(iter(costs.values()))))
    for name, weight in scaled.items():
        if weight > 0:
            total += weight * costs[name]
    return total


def score_arrays(
    performance: npt.ArrayLike,
    resources: Mapping[str, npt.ArrayLike],
    *,
    weights: Mapping[str, float] | None = None,
    groups: Sequence[Any] | npt.NDArray[Any] | None = None,
    alpha: float = 1.0,
    normalization: str = "minmax",
) -> Floats:
    """Return PePR of each row within its group; rows that lack a performance or a weighted resource get NaN.

    Without *weights* all resources count the same; without *groups* all rows are one group. Performance in [0, 1];
    resources in any unit, from 0 up.
    """
    weights = dict.fromkeys(resources, 1.0) if weights is None else weights
    gained = _finite(performance)
    codes = None if groups is None else group_codes(groups)[0]
    costs = {name: _finite(resources[name]) for name, weight in scale_weights(weights).items() if weight > 0}
    lacking = np.isnan(gained)
    for values in costs.values():
        lacking |= np.isnan(values)
    costs = {name: np.where(lacking, np.nan, values) for name, values in costs.items()}
    parts = {
        name: normalize(values, cohort_bounds(values, codes, normalization), codes, clip=normalization == "robust")
        for name, values in costs.items()
    }
    return pepr(gained, combine(parts, {name: weights[name] for name in parts}), alpha)


def _finite(values: npt.ArrayLike) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(numbers)
    return numbers if finite.all() else np.where(finite, numbers, np.nan)


def _extremes(numbers: Floats, codes: Codes, count: int, method: str) -> Floats:
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, codes, numbers)
    np.maximum.at(high, codes, numbers)
    empty = low > high
    if method == "max":
        low = np.zeros(count)
    low[empty] = high[empty] = np.nan
    return np.stack([low, high], axis=1)


def _percentiles(numbers: Floats, codes: Codes, count: int) -> Floats:
    """Percentiles by linear interpolation between the neighbours in rank, for all groups at once."""
    ordered = numbers[np.lexsort((numbers, codes))]
    sizes = np.bincount(codes, minlength=count)
    starts = np.cumsum(sizes) - sizes
    bounds = np.full((count, 2), np.nan)
    filled = sizes > 0
    for side, percentile in enumerate(_ROBUST_PERCENTILES):
        place = (sizes[filled] - 1) * percentile / 100
        below = np.floor(place).astype(np.intp)
        above = np.minimum(below + 1, sizes[filled] - 1)
        left, right = ordered[starts[filled] + below], ordered[starts[filled] + above]
        bounds[filled, side] = left + (right - left) * (place - below)
    return bounds
