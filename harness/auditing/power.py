"""The power that energy over time implies, held against that of the other rows on the same device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from attrs import frozen

from harness.auditing.evidence import Evidence, Finding, Floats, Limits

POWER = "implied power"
_FEWEST_ROWS = 5
# Of n rows right by a normal distribution the median deviation is often so small that some lie beyond five of it; so
# much larger, over n, less than one in a hundred do (5 rows), as with many rows.
_WIDENED = 5
# A group so much of which lies at the device's usual power has the same; the rest of it is held against that.
_SHARE_AT_USUAL = 0.2
# The median absolute deviation of a normal distribution is 1/1.4826 of its standard deviation.
_NORMAL = 1.4826
Mask = npt.NDArray[np.bool_]


@frozen
class Usual:
    """The usual logarithm of power in a set of rows, and its robust standard deviation."""

    centre: float
    spread: float


def find_odd_powers(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows whose energy over time is far from that of the rest of their device and group."""
    for energy, time in evidence.powers:
        powers = _log_powers(evidence.column(energy).values, evidence.column(time).values)
        for device in range(int(evidence.devices.max(initial=-1)) + 1):
            rows = np.flatnonzero((evidence.devices == device) & np.isfinite(powers))
            if len(rows) < _FEWEST_ROWS:
                continue
            off = _deviations(powers[rows], evidence.groups[rows], limits)
            for place in np.flatnonzero(off):
                times, side = float(np.exp(abs(off[place]))), "above" if off[place] > 0 else "below"
                told = f"{energy} over {time} implies a power {times:.3g} times {side} that of the other rows"
                yield Finding(POWER, (int(rows[place]),), (energy, time), told)


def _log_powers(energy: Floats, time: Floats) -> Floats:
    powers = np.full(len(energy), np.nan)
    known = (energy > 0) & (time > 0) & np.isfinite(energy) & np.isfinite(time)
    powers[known] = np.log(energy[known] / time[known])
    return powers


def _deviations(powers: Floats, groups: npt.NDArray[np.intp], limits: Limits) -> Floats:
    """How far off each log power is, 0 where it is not far off."""
    device, off = usual(powers), np.zeros(len(powers))
    for group in np.unique(groups):
        inside = groups == group
        if _speaks_for_itself(powers[inside], device):
            off[inside] = _off(powers[inside], usual(powers[inside]), limits)
        else:
            off[inside] = _off_the_device(powers[inside], device, limits)
    return off


def _speaks_for_itself(powers: Floats, device: Usual) -> bool:
    """Whether a group is the measure of its own rows: its usual power is the device's, or hardly a row has that."""
    if len(powers) < _FEWEST_ROWS:
        return False
    at_usual = np.abs(powers - device.centre) <= 3 * device.spread
    alike = abs(usual(powers).centre - device.centre) <= 3 * device.spread
    return alike or bool(at_usual.mean() < _SHARE_AT_USUAL)


def _off_the_device(powers: Floats, device: Usual, limits: Limits) -> Floats:
    """The same, of a group that seems to use another power than the device's usual one, but often reaches that.

    Above it, nothing excuses a row: most of a group may share the energy of larger work. Below it, a group whose models
    use the device less and less is no fault, so its own spread counts too.
    """
    below = device.centre - powers[powers < device.centre]
    spread = _NORMAL * float(np.median(below)) if len(below) else 0.0
    off = _off(powers, device, limits)
    return np.where((off > 0) | (device.centre - powers > limits.deviations * spread), off, 0.0)


def _off(powers: Floats, usual_power: Usual, limits: Limits) -> Floats:
    least = max(limits.deviations * usual_power.spread, float(np.log(limits.power_factor)))
    off = powers - usual_power.centre
    return np.where(np.abs(off) > least, off, 0.0)


def usual(logs: Floats) -> Usual:
    """Return the middle of the shortest half of *logs*, and the median absolute deviation from it as a normal's.

    The latter is widened where *logs* are few, by a share of 5 over their number: it is then a poor estimate.
    Where many rows are wrong on one side, the median moves with them and the shortest half does not (Rousseeuw, Least
    Median of Squares Regression, 1984).
    """
    ordered = np.sort(logs)
    half = len(ordered) // 2 + 1
    first = int(np.argmin(ordered[half - 1 :] - ordered[: len(ordered) - half + 1]))
    centre = float((ordered[first] + ordered[first + half - 1]) / 2)
    widened = 1 + _WIDENED / len(logs)
    return Usual(centre, widened * _NORMAL * float(np.median(np.abs(logs - centre))))
