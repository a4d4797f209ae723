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
    before, after, width, rise = 1 + r[:-1], 1 + r[1:], np.diff(r), np.diff(f)
    share = width / before
    # log1p(x) / x, which is 1 at a step without width: there all is gained at once.
    ratio = np.divide(np.log1p(share), share, out=np.ones_like(share), where=share > 0)
    gains = rise * ratio / before
    losses = f[:-1] * width / (before * after) - rise / after + gains
    return float(f[0] / (1 + r[0])), float(gains.sum()), float(losses.sum())
