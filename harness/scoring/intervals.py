"""95 % intervals of means over seeds: Student's t for two to four of them, a bootstrap from five on, none for one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.pepr import Codes, Floats

CONFIDENCE = 0.95
# With fewer values, nearly all resamples are of the same few: their percentiles are steps.
FEWEST_RESAMPLED = 5
_RESAMPLES = 4999
# So many numbers are resampled at a time, to bound memory [numbers].
_BATCH = 4_000_000


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
    """Percentiles of the means of resamples.

    Not BCa, which is steps at so few values, and falls back to nothing where all are equal. Percentiles of n values
    alone are too narrow by sqrt((n - 1) / n) and by normal against t; they are taken further out to make up for both:
    the "expanded percentile" interval of Hesterberg, What Teachers Should Know About the Bootstrap, The American
    Statistician 69 (2015).
    """
    from scipy import stats

    rows, seeds = samples.shape
    further = np.sqrt(seeds / (seeds - 1)) * stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1)
    found = stats.bootstrap(
        (samples,),
        np.mean,
        axis=1,
        vectorized=True,
        method="percentile",
        confidence_level=float(2 * stats.norm.cdf(further) - 1),
        n_resamples=_RESAMPLES,
        batch=max(1, _BATCH // (rows * seeds)),
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return np.asarray(found.low), np.asarray(found.high)
