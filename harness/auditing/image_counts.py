"""How many images accuracies count over: the n of which they are multiples of 1/n, as far as their digits tell."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from harness.auditing.evidence import Floats
from harness.auditing.steps import common_divisor, subsets

# Far above the noise of doubles, far below one by the number of images of any test set.
_FINEST = 1e-6
# Single precision keeps seven digits; so what has eight was not rounded for print.
EXACT, _MOST_DIGITS = 1e-7, 7
_FEWEST_SCORES = 8
_LARGEST = 60_000
# Where nearly all printed numbers would fit, a fit says nothing. Up to there, since printed multiples of 1/n nearly are
# some of 1/(10^digits - n), too, and the better of the two must be among the candidates.
_MOST_BY_CHANCE = 0.9
_SIEVED, _SIEVE_SHARE = 12, 0.6
# Of all groups and columns that were ever audited, about one would be told a wrong n.
_CHANCE = 1e-6
# If all scores but a few have even numerators, that may be chance, and n twice as large.
_FACTORS, _ALL_EVEN = np.arange(2, 11), 1e-3


@frozen
class Count:
    """The number of images `n`, and how far from a multiple of 1/n a score may be printed."""

    n: int
    noise: float


def find_count(scores: Floats) -> Count | None:
    """Return the n for which most *scores* in [0, 1] seem to be multiples of 1/n, None if there is none.

    Powers of ten are none: they say how many digits were printed, not how many images there were. Where few digits
    were printed, so many numbers fit that an n is believed only if chance would not have so many scores fit it.
    """
    distinct = np.unique(scores[(scores > 0) & (scores < 1)])
    if len(distinct) < _FEWEST_SCORES:
        return None
    digits = next((digits for digits in range(1, _MOST_DIGITS + 1) if _have(distinct, digits)), None)
    return _exact(distinct) if digits is None else _printed(distinct, digits)


def _have(distinct: Floats, digits: int) -> bool:
    scaled = distinct * 10.0**digits
    # As many may be wrong as accuracies that are no multiples of 1/n.
    return bool(np.mean(np.abs(scaled - np.round(scaled)) < 1e-6) >= 0.9)


def _exact(distinct: Floats) -> Count | None:
    found = [1 / common_divisor(np.append(subset, 1.0), _FINEST) for subset in subsets(distinct)]
    counts, often = np.unique(np.round(found).astype(np.int64), return_counts=True)
    count = int(counts[often.argmax()])
    if count < 2 or 10 ** round(np.log10(count)) == count or often.max() < 3:
        return None
    return Count(_widened(distinct, count), EXACT)


def _widened(distinct: Floats, count: int) -> int:
    """The smallest multiple of *count* that more scores fit, if it may be chance that most fit *count* already."""
    fits = _fitting(distinct, count * np.append(1, _FACTORS), EXACT)
    by_chance = _log_chances(fits[0], len(distinct), 1 / _FACTORS) > np.log(_ALL_EVEN)
    wider = np.flatnonzero((fits[1:] > fits[0]) & by_chance)
    return count * int(_FACTORS[wider[0]]) if len(wider) else count


def _printed(distinct: Floats, digits: int) -> Count | None:
    """The n that explains best why these and no other numbers of so many digits are there."""
    noise = (0.5 + 1e-6) * 10.0**-digits
    candidates = np.arange(2.0, min(_LARGEST, _MOST_BY_CHANCE * 10**digits) + 1)
    sieve = np.random.default_rng(0).permutation(distinct)[:_SIEVED]
    left = candidates[_fitting(sieve, candidates, noise) >= _SIEVE_SHARE * len(sieve)]
    if not len(left):
        return None
    logs = _log_chances(_fitting(distinct, left, noise), len(distinct), left / 10.0**digits)
    best = int(np.argmin(logs))
    return Count(int(left[best]), noise) if logs[best] + np.log(len(candidates)) < np.log(_CHANCE) else None


def _fitting(scores: Floats, counts: Floats, noise: float) -> Floats:
    """How many of *scores* are multiples of 1/n, printed, for each n of *counts*."""
    fits = np.zeros(len(counts))
    for score in scores:
        right = score * counts
        fits += np.abs(right - np.round(right)) <= noise * counts
    return fits


def _log_chances(fits: Floats | float, size: int, chance: Floats) -> Floats:
    """The logarithm of a bound on the probability that so many of *size* numbers fit by *chance* (Chernoff's)."""
    share = np.clip(fits / size, 1e-12, 1 - 1e-12)
    divergence = share * np.log(share / chance) + (1 - share) * np.log((1 - share) / (1 - chance))
    return np.where(share > chance, -size * divergence, 0.0)
