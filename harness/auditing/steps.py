"""How fine the values of a column are: the step that all of them are multiples of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.auditing.evidence import Codes, Floats

_SUBSETS, _SIZE = 25, 5
_GAPS = 16
# Beyond, the rounding of doubles hides whether a number is whole.
_LARGEST = 3e13
_NOT_WHOLE, _ROUNDING = 1e-6, 4 * float(np.finfo(np.float64).eps)
_MOST = 0.95
# As many as every double has.
_DIGITS = 15


def find_step(values: Floats) -> float:
    """Return the step of which most *values* are multiples, in their unit; not finer than doubles can tell.

    Looked for among decimal fractions, as meters and tables have them, binary ones, as some counters do, and between
    neighbours, for steps that a conversion of units made odd. 0 for no values but 0.
    """
    (distinct, _), exact = _distinct(values), written_step(values)
    return max(exact, _step_between(distinct, exact)) if len(distinct) > _SIZE else exact


def written_step(values: Floats) -> float:
    """Return the same of decimal and binary fractions only: exact, where `find_step` may give twice the step."""
    distinct, often = _distinct(values)
    if not len(distinct):
        return 0.0
    return max(float(distinct[-1]) * _ROUNDING, *(_step_of_base(distinct, often, base) for base in (10, 2)))


def _distinct(values: Floats) -> tuple[Floats, Codes]:
    """The distinct sizes but 0, and how many rows hold each: a wrong one is a row's, however few sizes there are."""
    return np.unique(np.abs(values[np.isfinite(values) & (values != 0)]), return_counts=True)


def _step_between(distinct: Floats, exact: float) -> float:
    """The step that divides the smallest gaps between neighbours, each of which holds only a few.

    Rounding to the step *exact* may blur it, as whole microjoules do a counter's 61.035. Where there is none, what is
    left of a division is about as small as the noise allows, which is far below what would explain equal values.
    """
    gaps = np.sort(np.diff(distinct))[:_GAPS]
    noise = max(3 * float(np.sqrt(_ROUNDING * distinct[-1] * gaps[-1])), 1.6 * exact)
    return float(np.median([common_divisor(subset, noise) for subset in subsets(gaps)]))


def steps_at(values: Floats, shared: Floats) -> Floats:
    """Return the step of positive *values* around each *shared* one: the whole column's, or its own if that is wider.

    Where all are written with so many significant digits, large values come in wider steps than small ones.
    """
    exponents = np.floor(np.log10(values))
    digits = next((count for count in range(1, _DIGITS) if _have_digits(values, exponents, count)), _DIGITS)
    return np.maximum(find_step(values), 10.0 ** (np.floor(np.log10(shared)) - digits + 1))


def _have_digits(values: Floats, exponents: Floats, count: int) -> bool:
    scaled = values * 10.0 ** (count - 1 - exponents)
    whole = np.abs(scaled - np.round(scaled)) <= _NOT_WHOLE + _ROUNDING * scaled
    return _are_most(int(np.count_nonzero(whole)), len(whole))


def _are_most(fits: int, size: int) -> bool:
    """Whether all but a few do: one in twenty may be wrong, and in a small table one."""
    return fits >= _MOST * size or (fits == size - 1 and size >= _SIZE - 1)


def _step_of_base(distinct: Floats, often: Codes, base: int) -> float:
    """The step as a whole multiple of the largest power of 1/*base* that will do; 0 where none will."""
    for power in range(31):
        scaled = distinct * float(base) ** power
        if scaled[-1] > _LARGEST:
            break
        whole = np.abs(scaled - np.round(scaled)) <= _NOT_WHOLE + _ROUNDING * scaled
        if _are_most(int(often[whole].sum()), int(often.sum())):
            return _divisor(np.round(scaled[whole])) / float(base) ** power
    return 0.0


def _divisor(whole: Floats) -> float:
    """The greatest common divisor of most of these whole numbers: the median of those of small subsets."""
    if len(whole) < 3:
        return 1.0
    return float(np.median([np.gcd.reduce(subset.astype(np.int64)) for subset in subsets(whole)]))


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


def subsets(distinct: Floats) -> Iterator[Floats]:
    """Yield small subsets of the *distinct* values, drawn at random, the same each time."""
    if len(distinct) <= _SIZE:
        yield distinct
        return
    # Seeded, so that an audit says the same twice.
    draw = np.random.default_rng(0)
    for _ in range(_SUBSETS):
        yield draw.choice(distinct, _SIZE, replace=False)
