"""How far two results of one benchmark lie apart with nothing changed between them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

# With so many earlier runs, these tell the noise; with fewer, the rounds within a run stand in for them.
FEWEST_RUNS = 4
# No more than so many of the latest runs: what a machine did a year ago says little of its noise.
MOST_RUNS = 20
_CONFIDENCE = 0.95
# Of normally distributed numbers: what the median of their absolute values, or the range of their middle half, is
# multiplied or divided by to be their standard deviation.
_MEDIAN_TO_DEVIATION = 1.4826
_MIDDLE_HALF = 1.349


def spread_of(seconds: Sequence[float]) -> float | None:
    """Return how far rounds of *seconds* lie apart: a standard deviation as a part of the median, by their middle half.

    None for fewer than two rounds.
    """
    if len(seconds) < 2:
        return None
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return (high - low) / _MIDDLE_HALF / median if median > 0 else None


def noise_of_runs(values: Sequence[float]) -> float:
    """Return how large a change between two runs may be by chance, by earlier runs' *values* (four or more, in order).

    The half-width of a 95 % interval, in the values' unit. By the median of the steps from run to run, so that a few
    real changes among the earlier runs do not count. Each is taken as a part of the values it lies between: noise
    grows and shrinks with what a benchmark takes. Student's t makes up for how little a few runs tell: in simulations
    with normal noise, a new step over 1.4826 times the median of n earlier ones has the 97.5 % point of a t of
    0.6 (n + 1) degrees of freedom, or a smaller one where n is even.
    """
    from scipy.special import stdtrit

    latest = values[-MOST_RUNS:]
    steps = [_step(before, after) for before, after in pairwise(latest)]
    factor = float(stdtrit(0.6 * (len(steps) + 1), (1 + _CONFIDENCE) / 2))
    # The noise of a benchmark that took nothing in its last run is that of when it took something.
    return factor * _MEDIAN_TO_DEVIATION * statistics.median(steps) * (latest[-1] or max(latest))


def _step(before: float, after: float) -> float:
    return abs(after - before) / (before / 2 + after / 2) if before or after else 0.0


def noise_of_rounds(before: float, now: float, spreads: Sequence[float | None]) -> float:
    """Return the same where there are fewer earlier runs, from the *spreads* of the rounds of the two runs.

    How far rounds lie apart within a run is only a hint at how far runs do. Infinite where a spread is not known.
    """
    deviations = [
        math.inf if spread is None else spread * value for spread, value in zip(spreads, (before, now), strict=True)
    ]
    return statistics.NormalDist().inv_cdf((1 + _CONFIDENCE) / 2) * math.hypot(*deviations)
