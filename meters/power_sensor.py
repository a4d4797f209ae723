"""What readings of power are worth: of this moment, or of one that may be long ago.

NVML says which of its readings average over a second. It does not say how often the sensor behind the others is read:
some cards refresh "instantaneous" power every 20 to 100 ms (Yang, Adamek, Armour, arXiv 2312.02741). Readings differ in
their last digits whenever the sensor was read, so dense samples tell.
"""

from __future__ import annotations

from typing import Literal

# "unproven": it may be either of the others, since it has not changed often enough to tell.
Kind = Literal["instantaneous", "unproven", "averaged"]

# Readings this old still tell of this moment: a tenth of the shortest step of a counter.
FRESH_SECONDS = 0.002
# A longer gap between two samples may have hidden a change.
_DENSE_SECONDS = 0.005
_ENOUGH = 3
_REGULAR = 1.5
# No sensor is known that is read more seldom.
_SLOWEST_SECONDS = 0.15


class PowerSensor:
    """Learns from dense samples how often a card's power reading is refreshed."""

    def __init__(self, averaged: bool) -> None:
        self._averaged = averaged
        self._last: tuple[float, float] | None = None
        self._changed_at: float | None = None
        self._fresh = self._count = 0
        self._shortest, self._longest = float("inf"), 0.0

    def observe(self, time: float, watts: float) -> None:
        """Take one dense sample: *watts* at *time* [s]."""
        if self._last is None or time - self._last[0] > _DENSE_SECONDS:
            self._changed_at = None
        elif watts != self._last[1]:
            if self._changed_at is not None:
                self._learn(time - self._changed_at)
            self._changed_at = time
        self._last = (time, watts)

    def _learn(self, interval: float) -> None:
        self._count += 1
        self._fresh += interval <= FRESH_SECONDS
        self._shortest, self._longest = min(self._shortest, interval), max(self._longest, interval)

    @property
    def kind(self) -> Kind:
        """What the readings are. Those that change at regular times and rarely are averages in all but name."""
        if self._averaged:
            return "averaged"
        if self._fresh >= _ENOUGH:
            return "instantaneous"
        regular = self._count >= _ENOUGH and self._longest <= min(_REGULAR * self._shortest, _SLOWEST_SECONDS)
        return "averaged" if regular else "unproven"

    @property
    def refresh(self) -> float | None:
        """The shortest time seen between two changes [s], which is how old a reading may be; None if not seen."""
        return self._shortest if self._count else None
