"""From the windows around a benchmark's rounds to what one call takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import asdict, evolve, field, frozen

from harness.measuring.derive import derive
from harness.meter import COMBINE
from harness.records import SOURCES, Metered, Missing, Reading

_TOLD = ("meter", "resource", "device", "value", "unit", "uncertainty", "source", "note")


@frozen
class PerCall:
    """What one call of a benchmark takes: `readings` are totals and devices, derived ones too.

    `metered` is what they were computed from.
    """

    readings: tuple[Reading, ...]
    missing: tuple[Missing, ...]
    metered: Metered = field(repr=False)

    def total(self, resource: str) -> Reading | None:
        """Return the reading of *resource* over all devices, None where it is missing."""
        return next((r for r in self.readings if r.resource == resource and r.device is None), None)

    def widest(self) -> float:
        """Return the largest error bar of an energy, as a part of its value; 0 where no energy was read."""
        energies = [r for r in self.readings if r.device is None and r.unit == "J"]
        return max((r.uncertainty / r.value if r.value else float("inf") for r in energies), default=0.0)

    def document(self) -> dict[str, Any]:
        """Return this as plain data, for `benchmark.extra_info` and so for pytest-benchmark's JSON."""
        return {
            "schema": "harness.benchmark/1",
            "calls": self.metered.calls,
            "seconds": self.metered.seconds,
            "windows": [
                {"start_monotonic_ns": start, "stop_monotonic_ns": stop} for start, stop in self.metered.windows
            ],
            "readings": [{name: value for name, value in asdict(r).items() if name in _TOLD} for r in self.readings],
            "missing": [{"meter": m.meter, "resource": m.resource, "reason": m.reason} for m in self.missing],
        }


def per_call(metered: Metered) -> PerCall:
    """Return what one call takes.

    Between the rounds a benchmark reads its clock and keeps the time. What is used up there is taken to be used at the
    mean power of the whole: as it may have been nothing or twice that, the error bar is as much wider.
    """
    derived, lost = derive(metered.readings, metered.missing)
    readings = [_of_one_call(reading, metered) for reading in (*metered.readings, *derived)]
    return PerCall(tuple(readings), (*metered.missing, *lost), metered)


def together(windows: Sequence[Metered]) -> Metered:
    """Return several windows as one: sums of what adds up, the highest peaks. What one lacks, all lack."""
    missing = {(gap.meter, gap.resource): gap for window in windows for gap in window.missing}
    groups: dict[tuple[str, str, str | None], list[Reading]] = {}
    for reading in (reading for window in windows for reading in window.readings):
        if (reading.meter, reading.resource) not in missing:
            groups.setdefault((reading.meter, reading.resource, reading.device), []).append(reading)
    return Metered(
        sum(window.calls for window in windows),
        sum(window.seconds for window in windows),
        tuple(edges for window in windows for edges in window.windows),
        tuple(combined(group) for group in groups.values()),
        tuple(missing.values()),
    )


def _of_one_call(reading: Reading, metered: Metered) -> Reading:
    if reading.resource in COMBINE:
        return reading
    if reading.resource == "time":
        # The benchmark's own clock, within the rounds, knows it better than that of the window around them.
        return evolve(reading, value=metered.seconds / metered.calls, uncertainty=reading.uncertainty / metered.calls)
    used = reading.value * (1 - metered.between)
    unsure = reading.uncertainty + reading.value * metered.between
    return evolve(reading, value=used / metered.calls, uncertainty=unsure / metered.calls)


def combined(group: Sequence[Reading]) -> Reading:
    """Return several readings of one resource as one: the highest of peaks, the mean of intensities, else the sum."""
    how = COMBINE.get(group[0].resource, "sum")
    if how == "max":
        return max(group, key=lambda reading: reading.value)
    # The mean of an intensity, over windows of one benchmark, is that of its readings.
    parts = len(group) if how == "mean" else 1
    return evolve(
        group[0],
        value=sum(r.value for r in group) / parts,
        uncertainty=sum(r.uncertainty for r in group) / parts,
        source=max((r.source for r in group), key=SOURCES.index),
        start_ns=group[0].start_ns,
        stop_ns=group[-1].stop_ns,
    )
