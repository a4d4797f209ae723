"""Bootstrap intervals against those of scipy, whose way of making them is slower."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from harness.scoring.intervals import mean_intervals

_SCATTERS = {
    "skewed": lambda rng, shape: rng.lognormal(size=shape),
    "tied": lambda rng, shape: rng.integers(0, 3, shape).astype(float),
    "constant": lambda rng, shape: np.full(shape, 0.1),
    "both signs": lambda rng, shape: rng.normal(size=shape),
}


@pytest.mark.parametrize("scatter", _SCATTERS)
@pytest.mark.parametrize(("rows", "seeds"), [(1, 5), (200, 5), (20, 6), (3, 8), (1, 40), (2, 150)])
def test_resampled_intervals_are_those_of_scipy(rows, seeds, scatter):
    samples = _SCATTERS[scatter](np.random.default_rng(7), (rows, seeds))
    further = np.sqrt(seeds / (seeds - 1)) * stats.t.ppf(0.975, seeds - 1)
    expected = stats.bootstrap(
        (samples,),
        np.mean,
        axis=1,
        method="percentile",
        confidence_level=2 * stats.norm.cdf(further) - 1,
        n_resamples=4999,
        batch=200,
        random_state=np.random.default_rng(0),
    ).confidence_interval
    row = np.arange(rows).repeat(seeds)
    low, high = mean_intervals(samples.ravel(), row, np.ones(samples.size, dtype=bool), samples.mean(axis=1))

    assert_allclose(low, expected.low, rtol=1e-12, atol=1e-15)
    assert_allclose(high, expected.high, rtol=1e-12, atol=1e-15)
