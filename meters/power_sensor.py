"""What readings of power are worth: of this moment, or of one that may be long ago.

NVML says which of its readings average over a second. It does not say how often the sensor behind the others is read:
some cards refresh "instantaneous" power every 20 to 100 ms (Yang, Adamek, Armour, arXiv 2312.02741). Readings differ in
their last digits whenever the sensor was read, so dense samples tell.
"""

from __future__ import annotations

import threading
from typing import Literal

# "unproven": it may be either of the others, since it has not changed often enough to tell.
Kind = Literal["instantaneous", "unproven", "averaged"]

# Readings this old still tell of this moment, if the error bar allows for that.
FRESH_SECONDS = 0.005
# A longer gap between two samples may have hidden a change.
_DENSE_SECONDS = 0.005
_ENOUGH = 3
_ENOUGH_FRESH = 100
# So many times more fresh intervals than others.
_MOSTLY = 4
_REGULAR = 1.5
# So many steps of the counter that power does not add up to, and such a share of all, are no accident.
_ENOUGH_WRONG = 2
_RARELY = 0.02
# No sensor is known that is read more seldom.
_SLOWEST_SECONDS = 0.15


class PowerSensor:
    """Learns from dense samples how often a card's power reading is refreshed.

    Samples may come from several threads, and so out of order: those that are late are left out.
    """

    def __init__(self, averaged: bool) -> None:
        self._averaged = averaged
        self._lock = threading.Lock()
        self._last: tuple[float, float] | None = None
        self._changed: tuple[float, float] | None = None  # the samples before and after the last change
        self._fresh: list[float] = []
        self._fresh_count = self._count = self._checks = self._wrong = 0
        self._shortest, self._longest = float("inf"), 0.0

    def observe(self, time: float, watts: float) -> None:
        """Take one dense sample: *watts* at *time* [s]."""
        with self._lock:
            if self._last is None or time - self._last[0] > _DENSE_SECONDS:
                self._changed = None
            elif time <= self._last[0]:
                return
            elif watts != self._last[1]:
                self._learn(self._last[0], time)
            self._last = (time, watts)

    def _learn(self, unchanged: float, now: float) -> None:
        """Learn from a change after the time *unchanged*, seen *now*; the one before it may be as old as its gap."""
        if self._changed is not None:
            before, after = self._changed
            if now - before <= FRESH_SECONDS:
                self._fresh = [*self._fresh[-_ENOUGH_FRESH:], now - before]
                self._fresh_count += 1
            elif unchanged > after:  # or each sample shows a change, and how many more there were is not known
                self._count += 1
                self._shortest, self._longest = min(self._shortest, now - after), max(self._longest, now - after)
        self._changed = (unchanged, now)

    def check(self, error: float, doubt: float) -> None:
        """Learn from a step of the counter that power should add up to, within *doubt* [J], and misses by *error*."""
        with self._lock:
            self._checks += 1
            self._wrong += abs(error) > doubt

    @property
    def kind(self) -> Kind:
        """What the readings are. Those that change at regular times and rarely are averages in all but name."""
        if self._averaged:
            return "averaged"
        if self._fresh_count >= max(_ENOUGH, _MOSTLY * self._count):
            return "averaged" if self._contradicted else "instantaneous"
        regular = self._count >= _ENOUGH and self._longest <= min(_REGULAR * self._shortest, _SLOWEST_SECONDS)
        return "averaged" if regular else "unproven"

    @property
    def refresh(self) -> float | None:
        """How old a reading may be [s]: the longest of the fresh times between two changes, else the shortest of all.

        None if none was seen.
        """
        if self._fresh:
            return max(self._fresh)
        return self._shortest if self._count else None

    @property
    def _contradicted(self) -> bool:
        """Whether the counter says that the readings are not of their moment, however often they change."""
        return self._wrong >= _ENOUGH_WRONG and self._wrong > _RARELY * self._checks
