"""A meter without hardware: it replays the power of a trace, so that what it must read is known exactly."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.meter import Readings
from harness.records import Missing, Reading
from harness.testing.power_trace import PowerTrace


class FakeClock:
    """A clock that moves when it is told: `clock()` gives its seconds, `clock.advance(2.5)` lets them pass."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self._now += seconds


class ReplayMeter:
    """Reads *resource* [J] as if the device took the power of *trace*, which begins when the meter is opened.

    A window from t to u seconds after that reads `trace.energy(t, u)`, in closed form; one that ends after the trace is
    missing with that reason, unless the trace is to *repeat*. *clock* gives seconds: the monotonic clock, or a
    `FakeClock`, with which a test knows every joule.
    """

    def __init__(
        self,
        trace: PowerTrace,
        resource: str = "energy_gpu",
        *,
        clock: Callable[[], float] = time.monotonic,
        repeat: bool = False,
    ) -> None:
        self._trace, self._resource, self._clock, self._repeat = trace, resource, clock, repeat
        self._opened = 0.0

    def unavailable(self) -> str | None:
        return None

    def open(self) -> None:
        self._opened = self._clock()

    def mark(self) -> float:
        return self._clock() - self._opened

    def between(self, start: float, stop: float, /) -> Readings:
        if stop > self._trace.duration and not self._repeat:
            over = f"the trace of {self._trace.duration:g} s ends before the window, at {stop:g} s"
            return [Missing(self._resource, f"{over}; record a longer one, or let it repeat")]

        # What is left of the last digits when two long energies are subtracted, not an error of the device.
        joules = max(0.0, self._energy_until(stop) - self._energy_until(start))
        return [Reading(self._resource, joules, "J", uncertainty=0.0, source="sampled", note="replayed from a trace")]

    def close(self) -> None:
        pass

    def _energy_until(self, moment: float) -> float:
        times, rest = divmod(moment, self._trace.duration) if self._repeat else (0.0, moment)
        return times * self._trace.energy(0, self._trace.duration) + self._trace.energy(0, rest)
