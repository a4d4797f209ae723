"""Other seeds than those that ran, drawn from those: what each line of a row weighs beside its share of the mean."""

from __future__ import annotations

import numpy as np

from harness.pepr import Codes, Floats
from harness.scoring.intervals import FEWEST_RESAMPLED


def seed_weights(rng: np.random.Generator, seeds: Codes, draws: int) -> Floats:
    """Return weights `[draws, lines]` that sum to 0 in each row; the weighted sum of a row's lines is how far its mean
    is off in that draw. *seeds* `[rows]` counts the lines of each row, which stand row by row.

    The variance is s^2 / n, with s^2 that of the row's n lines over n - 1. From five lines on they are resampled;
    fewer take normal weights, since two lines have three resamples only. One line is never off.
    """
    weights = np.zeros((draws, int(seeds.sum())))
    start = np.cumsum(seeds) - seeds
    for count in np.unique(seeds[seeds > 1]):
        rows = np.flatnonzero(seeds == count)
        shape = (draws, len(rows), int(count))
        drawn = _resampled(rng, shape) if count >= FEWEST_RESAMPLED else _normal(rng, shape)
        weights[:, (start[rows][:, None] + np.arange(count)).ravel()] = drawn.reshape(draws, -1)
    return weights


def widening(rng: np.random.Generator, seeds: Codes, draws: int) -> Floats:
    """Return `[draws, rows]` what a draw of a row's mean is to be multiplied with: the law is then Student's t.

    sqrt(f / chi2) with chi2 of f + 1 degrees of freedom, and f = 2 (n - 1), those of Welch's test of two rows that
    scatter alike: the spread is itself known from n seeds only. It is the posterior of a flat prior of the means and
    one of 1 / sigma^2 of the scatter, which says that models differ by as much however widely their seeds scatter. With
    1 / sigma, and so chi2 of f, two seeds were called 90 % where 95 of 100 were right. Rows share the quantile, so that
    differences follow t too.
    """
    from scipy.special import gammaincinv

    wider = np.ones((draws, len(seeds)))
    quantile = rng.uniform(size=draws)
    for count in np.unique(seeds[seeds > 1]):
        # gammaincinv((f + 1) / 2, q) is half the chi-squared quantile of f + 1 degrees of freedom.
        factor = np.sqrt((count - 1) / gammaincinv(count - 0.5, quantile))
        wider[:, seeds == count] = factor[:, None]
    return wider


def _normal(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    drawn, count = rng.standard_normal(shape), shape[2]
    return np.asarray((drawn - drawn.mean(axis=2, keepdims=True)) / np.sqrt(count * (count - 1)))


def _resampled(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """How often each line is drawn, as its share beyond 1 / n, widened to the variance s^2 / n."""
    count, size = shape[2], shape[0] * shape[1] * shape[2]
    drawn = rng.integers(0, count, size) + np.repeat(np.arange(0, size, count), count)
    times = np.bincount(drawn, minlength=size).reshape(shape)
    return np.asarray((times / count - 1 / count) * np.sqrt(count / (count - 1)))
