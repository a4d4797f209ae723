"""PePR along a growing resource: the curve, its scalar, and its split into what was gained and what was given up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.pepr import Floats, pepr

def curve(performance: npt.ArrayLike, cost: npt.ArrayLike) -> Floats:
    """Return f(R) / (1 + R) for each point of performance f at normalised cost R."""
    return pepr(performance, cost)


def peak(scores: npt.ArrayLike, cost: npt.ArrayLike) -> int:
    """Return the point of the largest score: the curve's scalar; of the smallest cost on ties."""
    return int(np.lexsort((np.asarray(cost), -np.asarray(scores)))[0])


def split(performance: npt.ArrayLike, cost: npt.ArrayLike) -> tuple[float, float, float]:
    """Return (start, gain, loss) of a curve whose performance f runs straight between its points, R growing.

    start = f / (1 + R) at the first point, gain = integral of f'(r) / (1 + r), loss = integral of f(r) / (1 + r)^2;
    start + gain - loss is the curve's last value.
    """
    f, r = np.asarray(performance, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    moved = np.diff(r) > 0
    left, right, width = r[:-1][moved], r[1:][moved], np.diff(r)[moved]
    slope = np.diff(f)[moved] / width
    gains = slope * np.log1p(width / (1 + left))
    # On a segment f(r) = level + slope (1 + r), so that f / (1 + r)^2 has a closed integral.
    level = f[:-1][moved] - slope * (1 + left)
    losses = level * width / ((1 + left) * (1 + right)) + gains
    # A step at one and the same cost is gained (or lost) at once.
    jumps = np.diff(f)[~moved] / (1 + r[:-1][~moved])
    return float(f[0] / (1 + r[0])), float(gains.sum() + jumps.sum()), float(losses.sum())
