"""Meters held against each other: what those of one resource say of the same window, and what each costs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from attrs import frozen

from harness.measuring.stack import MeterStack
from harness.measuring.window import overhead
from harness.records import Reading
from harness.registry import Registry


@frozen
class Comparison:
    """What several meters say of one resource in one window; the first is the one that a run would take."""

    resource: str
    readings: tuple[Reading, ...]

    @property
    def agree(self) -> bool:
        """Whether any two of them lie within their error bars of each other."""
        return all(
            abs(one.value - other.value) <= one.uncertainty + other.uncertainty
            for one in self.readings
            for other in self.readings
        )

    @property
    def apart(self) -> float:
        """How far the furthest two lie apart, as a fraction of the larger; 0 where both are."""
        values = [reading.value for reading in self.readings]
        return (max(values) - min(values)) / max(values) if max(values) else 0.0


def check_meters(
    registry: Registry, seconds: float
) -> tuple[list[Comparison], Mapping[str, Mapping[str, float | None]]]:
    """Run every meter that works here over one window of *seconds* in which one core computes.

    Returns the comparisons of resources that several meters read, and by meter the `seconds` and `joules` that its
    marks took (see `harness.measuring.window.overhead`).
    """
    names = [name for name in registry.meters.entries if registry.meter_unavailable(name) is None]
    with MeterStack() as stack:
        stack.add(registry.create_meters(names, {"sampler": stack.sampler}))
        with stack.window(sharp=True) as window:
            _compute(seconds)
    return compare(window.readings), overhead(window)


def compare(readings: Iterable[Reading]) -> list[Comparison]:
    """Return a comparison for each resource of which there are several totals."""
    totals: dict[str, list[Reading]] = {}
    for reading in readings:
        if reading.device is None:
            totals.setdefault(reading.resource, []).append(reading)
    return [Comparison(resource, tuple(found)) for resource, found in totals.items() if len(found) > 1]


def _compute(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(10_000))
