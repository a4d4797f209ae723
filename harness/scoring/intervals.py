"""95 % intervals of means over seeds: Student's t for two to four of them, a bootstrap from five on, none for one."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from harness.pepr import Codes, Floats

CONFIDENCE = 0.95
# With fewer values, nearly all resamples are of the same few: their percentiles are steps.
FEWEST_RESAMPLED = 5
_RESAMPLES = 4999
# So many numbers are resampled at a time, to bound memory, and since more of them are slower [numbers].
_BATCH = 500_000


def interval_method(seeds: int) -> str | None:
    """Return how the interval over so many *seeds* is made: "t", "bootstrap", or None for there being none."""
    if seeds < 2:
        return None
    return "t" if seeds < FEWEST_RESAMPLED else "bootstrap"


def mean_intervals(values: Floats, row: Codes, counts: npt.NDArray[np.bool_], mean: Floats) -> tuple[Floats, Floats]:
    """Return the low and high ends of the 95 % interval of each row's *mean*; NaN where there is none.

    `values` `[lines]` belong to the rows `row` `[lines]`; only lines that *counts* says are taken.
    """
    order = np.flatnonzero(counts)
    order = order[np.argsort(row[order], kind="stable")]
    size = np.bincount(row[order], minlength=len(mean))
    start = np.cumsum(size) - size
    low, high = np.full(len(mean), np.nan), np.full(len(mean), np.nan)
    for seeds in np.unique(size[size > 1]):
        rows = np.flatnonzero((size == seeds) & np.isfinite(mean))
        if len(rows):
            samples = values[order[start[rows][:, None] + np.arange(seeds)]]
            ends = _student if seeds < FEWEST_RESAMPLED else _resampled
            low[rows], high[rows] = ends(samples, mean[rows])
    return low, high


def _student(samples: Floats, mean: Floats) -> tuple[Floats, Floats]:
    from scipy.special import stdtrit

    seeds = samples.shape[1]
    spread = ((samples - mean[:, None]) ** 2).sum(axis=1) / (seeds - 1)
    half = stdtrit(seeds - 1, (1 + CONFIDENCE) / 2) * np.sqrt(spread / seeds)
    return mean - half, mean + half


def _resampled(samples: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """Percentiles of the means of resamples, the same ones in each row.

    Not BCa, which is steps at so few values, and falls back to nothing where all are equal. Percentiles of n values
    alone are too narrow by sqrt((n - 1) / n) and by normal against t; they are taken further out to make up for both:
    the "expanded percentile" interval of Hesterberg, What Teachers Should Know About the Bootstrap, The American
    Statistician 69 (2015).
    """
    # Not scipy.stats, which takes half a second to be imported, and sorts all the means.
    from scipy.special import ndtr, stdtrit

    seeds = samples.shape[1]
    further = np.sqrt(seeds / (seeds - 1)) * stdtrit(seeds - 1, (1 + CONFIDENCE) / 2)
    level = float(2 * ndtr(further) - 1)
    drawn, times = _draws(seeds)
    means = _means(samples, drawn)
    below, weight = _place((1 - level) / 2)
    low = _between(_smallest(means, times, below + 2)[:, -2:], weight)
    below, weight = _place(1 - (1 - level) / 2)
    # The largest, with their signs changed, are the smallest.
    largest = _smallest(np.negative(means, out=means), times, _RESAMPLES - below)
    return low, -_between(largest[:, :-3:-1], weight)


@functools.lru_cache(maxsize=8)
def _draws(seeds: int) -> tuple[Codes, Codes]:
    """The resamples `[distinct, seeds]` of so many values, and how many times each was drawn."""
    drawn = np.random.default_rng(0).integers(0, seeds, (_RESAMPLES, seeds))
    if seeds > FEWEST_RESAMPLED:
        return drawn, np.ones(len(drawn), dtype=np.intp)
    # Of five values, half of the resamples have been drawn before.
    return np.unique(drawn, axis=0, return_counts=True)


def _means(samples: Floats, drawn: Codes) -> Floats:
    """The mean `[rows, resamples]` of each resample."""
    batch = max(1, _BATCH // samples.size)
    parts = [samples[..., drawn[start : start + batch]].mean(axis=-1) for start in range(0, len(drawn), batch)]
    return np.concatenate(parts, axis=-1)


def _place(part: float) -> tuple[int, float]:
    """Where in the order of all means *part* of them lie below: which mean comes before, and the weight of the next."""
    place = part * _RESAMPLES + (1 - part)
    return int(place) - 1, place % 1


def _between(ends: Floats, weight: float) -> Floats:
    return (1 - weight) * ends[:, 0] + weight * ends[:, 1]


def _smallest(means: Floats, times: Codes, count: int) -> Floats:
    """The *count* smallest `[rows, count]` of each row's means, each counting so many *times*; most stay unsorted."""
    rows, size = means.shape
    # As many columns hold a value up to the bound as have a least one up to it.
    width = max(1, size // (8 * count))
    least = means[:, : size // width * width].reshape(rows, -1, width).min(axis=-1)
    bound = np.partition(least, count - 1, axis=-1)[:, count - 1]
    row, column = np.nonzero(means < bound[:, None])
    row, column = (np.repeat(index, times[column]) for index in (row, column))
    value = means[row, column]
    value = value[np.lexsort((value, row))]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    found = np.repeat(bound[:, None], count, axis=1)
    found[row[place < count], place[place < count]] = value[place < count]
    return found
