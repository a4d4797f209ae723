"""Clocks and counters that stand still, or disagree about the same stretch of time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from harness.auditing.evidence import Column, Evidence, Finding, Floats, Laps, Limits

NEGATIVE, STILL, EPOCHS, CLOCK = "negative reading", "standing still", "epochs and whole disagree", "clocks disagree"
# An epoch that took so small a share of what the trial's mean power or duration allows for did not take it.
_STOPPED = 0.1
# [W] Where no reading tells the power: less than this, no computer takes.
_LEAST_POWER = 0.1
# What lies in a phase but in no epoch; and what a start of the clock some milliseconds apart makes.
_BETWEEN_EPOCHS = 0.05
_CLOCK_SHARE, _CLOCK_SECONDS = 0.01, 0.05


def find_negative(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows with readings below zero."""
    for column in [*evidence.of_kind("cost"), *evidence.of_kind("size")]:
        for row in np.flatnonzero(column.values < 0):
            yield Finding(NEGATIVE, (int(row),), (column.name,), f"{column.name} is {column.values[row]:g}, below 0")


def find_standstills(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows in which time passed and no energy was used, or the reverse."""
    for names in evidence.powers:
        energy, time = (evidence.column(name) for name in names)
        power = _usual_power(evidence, energy.name)
        yield from _still(energy, time, _unsure(energy) / (power or _LEAST_POWER))
        yield from _still(time, energy, _unsure(time) * power)


def _still(still: Column, moving: Column, most: Floats) -> Iterator[Finding]:
    """The rows in which one is 0 while the other is more than the *most* that the first one's meter takes for 0."""
    rows = np.flatnonzero((still.values == 0) & (moving.values > most))
    if len(rows):
        told = f"{still.name} is 0 while {moving.name} is not"
        yield Finding(STILL, tuple(rows.tolist()), (still.name, moving.name), told)


def _unsure(column: Column) -> Floats:
    return np.zeros(len(column.values)) if column.uncertainty is None else np.nan_to_num(column.uncertainty)


def _usual_power(evidence: Evidence, name: str) -> float:
    """The median power of the resource of the energy column *name* over all phases; 0 where none is known."""
    resource = name.partition(" of ")[0]
    powers = [
        _powers(evidence.column(energy).values, evidence.column(time).values)
        for energy, time in evidence.powers
        if energy.partition(" of ")[0] == resource
    ]
    known = np.concatenate(powers)
    return float(np.median(known)) if len(known) else 0.0


def _powers(energy: Floats, time: Floats) -> Floats:
    known = (energy > 0) & (time > 0)
    return np.asarray(energy[known] / time[known], dtype=np.float64)


def find_clocks(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows whose time is not that between the edges of its window."""
    for name, seconds in evidence.windows.items():
        time = evidence.column(name).values
        for row in np.flatnonzero(np.abs(time - seconds) > _CLOCK_SHARE * seconds + _CLOCK_SECONDS):
            told = f"{name} is {time[row]:.6g} s in a window of {seconds[row]:.6g} s"
            yield Finding(CLOCK, (int(row),), (name,), told)


def find_stopped_epochs(evidence: Evidence, limits: Limits) -> Iterator[Finding]:
    """Yield the rows with epochs in which energy or the clock stood still, or that add up to another whole."""
    for laps in evidence.laps:
        still = _stopped(laps.energy + laps.uncertainty, laps.time, laps.whole_energy / laps.whole_time)
        stuck = _stopped(laps.time, laps.energy - laps.uncertainty, laps.whole_time / laps.whole_energy)
        for epochs, name in ((still, laps.name), (stuck, "time")):
            if epochs.any():
                told = ", ".join(str(epoch + 1) for epoch in np.flatnonzero(epochs))
                yield Finding(STILL, (laps.row,), (laps.name, "time"), f"{name} hardly grows in epoch {told}")
        yield from _sums(laps)


def _stopped(one: Floats, other: Floats, rate: float) -> npt.NDArray[np.bool_]:
    return np.asarray(one < _STOPPED * rate * other, dtype=np.bool_)


def _sums(laps: Laps) -> Iterator[Finding]:
    """The epochs of a whole phase add up to it, but for what lies between them and what cannot be told."""
    if not laps.complete:
        return
    unsure = float(laps.uncertainty.sum()) + laps.whole_uncertainty
    for name, parts, whole, bar in (
        (laps.name, laps.energy, laps.whole_energy, unsure),
        ("time", laps.time, laps.whole_time, _CLOCK_SECONDS * len(laps.time)),
    ):
        total = float(parts.sum())
        if abs(total - whole) > _BETWEEN_EPOCHS * whole + bar:
            told = f"{name} of the epochs adds up to {total:.6g}, that of the whole phase is {whole:.6g}"
            yield Finding(EPOCHS, (laps.row,), (name,), told)
