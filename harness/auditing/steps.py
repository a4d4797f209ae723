"""How fine the values of a column are: the step that all of them are multiples of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.auditing.evidence import Floats

_SUBSETS, _SIZE = 25, 5
# Beyond, the rounding of doubles hides whether a number is whole.
_LARGEST = 3e13
_NOT_WHOLE, _ROUNDING = 1e-6, 4 * float(np.finfo(np.float64).eps)
_MOST = 0.95
# Accuracies: far above the noise of doubles, far below one by the number of images of any test set.
_FINEST_SCORE = 1e-6


def find_step(values: Floats) -> float:
    """Return the step of which most *values* are multiples, in their unit; not finer than doubles can tell.

    Looked for among decimal fractions, as meters and tables have them, and binary ones, as some counters do. 0 for no
    values but 0.
    """
    distinct = np.unique(np.abs(values[np.isfinite(values) & (values != 0)]))
    if not len(distinct):
        return 0.0
    return max(float(distinct[-1]) * _ROUNDING, *(_step_of_base(distinct, base) for base in (10, 2)))


def _step_of_base(distinct: Floats, base: int) -> float:
    """The step as a whole multiple of the largest power of 1/*base* that will do; 0 where none will."""
    for power in range(31):
        scaled = distinct * float(base) ** power
        if scaled[-1] > _LARGEST:
            break
        whole = scaled[np.abs(scaled - np.round(scaled)) <= _NOT_WHOLE + _ROUNDING * scaled]
        if len(whole) >= _MOST * len(distinct):
            return _divisor(np.round(whole)) / float(base) ** power
    return 0.0


def _divisor(whole: Floats) -> float:
    """The greatest common divisor of most of these whole numbers: the median of those of small subsets."""
    if len(whole) < 3:
        return 1.0
    return float(np.median([np.gcd.reduce(subset.astype(np.int64)) for subset in _subsets(whole)]))


def find_count(scores: Floats) -> int | None:
    """Return the n for which most *scores* in [0, 1] seem to be multiples of 1/n, None if there is none.

    Powers of ten are none: they say how many digits were printed, not how many images there were.
    """
    distinct = np.unique(scores[(scores > 0) & (scores < 1)])
    if len(distinct) < _SIZE + 3:
        return None
    found = [1 / common_divisor(np.append(subset, 1.0), _FINEST_SCORE) for subset in _subsets(distinct)]
    counts, often = np.unique(np.round(found).astype(np.int64), return_counts=True)
    count = int(counts[often.argmax()])
    return None if count < 2 or 10 ** round(np.log10(count)) == count or often.max() < 3 else count


def common_divisor(values: Floats, noise: float) -> float:
    """Return the greatest number of which all *values* are multiples to within *noise* (Euclid's algorithm)."""
    divisor = 0.0
    for value in values:
        large, small = (float(value), divisor) if value > divisor else (divisor, float(value))
        while small > noise:
            rest = large % small
            # A hair short of a multiple is one.
            large, small = small, min(rest, small - rest)
        divisor = large
    return divisor


def _subsets(distinct: Floats) -> Iterator[Floats]:
    if len(distinct) <= _SIZE:
        yield distinct
        return
    # Seeded, so that an audit says the same twice.
    draw = np.random.default_rng(0)
    for _ in range(_SUBSETS):
        yield draw.choice(distinct, _SIZE, replace=False)
