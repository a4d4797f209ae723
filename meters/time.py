"""The `time` meter: seconds on the system's monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from harness.hookspecs import hookimpl
from harness.meter import Readings
from harness.records import Reading

# Only Linux tells how long the machine slept: CLOCK_MONOTONIC stands still in a suspended machine, this clock does not.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)
# Below this, the difference of the two clocks is the time between reading them.
_SLEPT_NS = 50_000_000


@frozen
class TimeMark:
    """An edge in nanoseconds: `clock` is monotonic, `awake_and_asleep` runs on while the machine is suspended."""

    clock: int
    awake_and_asleep: int


class TimeMeter:
    """Reads the monotonic clock at both edges; changes of the wall clock do not touch it."""

    def __init__(self) -> None:
        self._uncertainty = 0.0

    def unavailable(self) -> str | None:
        return None

    def open(self) -> None:
        self._uncertainty = 2 * (time.get_clock_info("monotonic").resolution + _cost_of_reading())

    def mark(self) -> TimeMark:
        slept = time.clock_gettime_ns(_BOOTTIME) if _BOOTTIME is not None else 0
        return TimeMark(time.monotonic_ns(), slept)

    def between(self, start: TimeMark, stop: TimeMark, /) -> Readings:
        elapsed = stop.clock - start.clock
        slept = stop.awake_and_asleep - start.awake_and_asleep - elapsed
        note = f"the machine was suspended for {slept / 1e9:.1f} s more" if slept > _SLEPT_NS else None
        return [
            Reading(
                resource="time",
                value=elapsed / 1e9,
                unit="s",
                uncertainty=self._uncertainty,
                source="counter",
                note=note,
            )
        ]

    def close(self) -> None:
        pass


def _cost_of_reading(clock: Callable[[], int] = time.monotonic_ns) -> float:
    """Return the seconds that one reading of *clock* takes, the least of a hundred."""
    return min(-(clock() - clock()) for _ in range(100)) / 1e9


def _create(options: Mapping[str, Any]) -> TimeMeter:
    return TimeMeter()


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("time", _create, resources=("time",))
