"""The `carbon` meter: the carbon intensity of the electricity during a window, in grams of CO2e per kilowatt-hour.

It measures nothing itself: plugins answer for a location and a moment (`harness_carbon_intensity`), or the user gives
a constant. Grams follow from it and from the energy in `harness.measuring.derive`.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

from attrs import frozen

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.meter import Readings
from harness.records import Missing, Reading, Source

# `when` is None to learn whether the location is known at all; nobody asks the network for that.
IntensityAt = Callable[[str, datetime.datetime | None], Mapping[str, Any] | None]

_RESOURCE = "carbon_intensity"
# The finest that live providers tell [s].
_STEP = 1800.0
# Each may be a request over the network, of seconds; together they must stay below what the stack calls a hang.
_MOST_STEPS = 24
_NO_LOCATION = (
    "no location is given; give --location with an ISO 3166 code such as DK, or --carbon-intensity G_PER_KWH "
    "(in Python: location=..., carbon_intensity=...)"
)


@frozen
class CarbonMark:
    """An edge in seconds: `wall` since 1970 in UTC, `clock` monotonic, for the wall clock may be set in between."""

    wall: float
    clock: float


@frozen
class Intensity:
    """The intensity at one moment and its uncertainty, in g/kWh; `sampled` if it is of that very hour."""

    grams: float
    uncertainty: float
    source: str
    sampled: bool


class CarbonMeter:
    """Asks for the intensity at *location* when a window is read; *constant* [g/kWh] goes before it.

    Nothing is asked at an edge. A window of up to half an hour is asked for at its two ends, a longer one at every
    half hour between too, or at 25 moments if it is longer than twelve hours. The reading is their mean over time.

    Its error bar is the mean of those of the answers, and how far the lowest and the highest are from the mean: the
    intensity between the moments is taken to lie between theirs. A constant has none: what is computed with it is
    "at 56 g/kWh" by the user's word, and how good that word is nobody here can know.
    """

    def __init__(self, location: Any, constant: Any, intensity_at: IntensityAt) -> None:
        self._location = location
        self._constant = constant
        self._intensity_at = intensity_at

    def unavailable(self) -> str | None:
        if self._constant is not None:
            return None if _is_amount(self._constant) else f"carbon_intensity is {self._constant!r}, not grams per kWh"
        if self._location in (None, ""):
            return _NO_LOCATION
        if not isinstance(self._location, str):
            return f"location is {self._location!r}, not an ISO 3166 code such as 'DK'"
        return self._unknown()

    def _unknown(self) -> str | None:
        """Return why no plugin knows the location, None where one does."""
        try:
            known = self._intensity_at(self._location, None)
        except HarnessError as error:
            return str(error)
        return None if known is not None else self._no_answer()

    def open(self) -> None:
        pass

    def mark(self) -> CarbonMark:
        return CarbonMark(time.time(), time.monotonic())

    def between(self, start: CarbonMark, stop: CarbonMark, /) -> Readings:
        if self._constant is not None:
            return [_reading(self._constant, 0.0, sampled=False, note="given")]

        found: list[Intensity] = []
        try:
            for when in _moments(start, stop):
                answer = self._intensity_at(self._location, when)
                if answer is None:
                    return [Missing(_RESOURCE, self._no_answer())]
                found.append(_checked(answer))
        except HarnessError as error:
            return [Missing(_RESOURCE, str(error))]
        return [_over_time(found)]

    def close(self) -> None:
        pass

    def _no_answer(self) -> str:
        return f"no plugin knows the carbon intensity at {self._location!r}; give --carbon-intensity G_PER_KWH"


def _moments(start: CarbonMark, stop: CarbonMark) -> list[datetime.datetime]:
    """Return evenly spaced moments from *start* to *stop*, both included, in UTC."""
    seconds = stop.clock - start.clock
    steps = min(max(1, math.ceil(seconds / _STEP)), _MOST_STEPS)
    offsets = [seconds * number / steps for number in range(steps + 1)]
    return [datetime.datetime.fromtimestamp(start.wall + offset, datetime.timezone.utc) for offset in offsets]


def _checked(answer: Mapping[str, Any]) -> Intensity:
    """Return *answer* as an intensity; raises ValueError for one that holds none.

    Of an answer without an error bar nothing is known but that it is not negative: the bar is all of it.
    """
    grams = answer.get("grams_per_kwh")
    uncertainty = answer.get("uncertainty", grams)
    if not _is_amount(grams) or not _is_amount(uncertainty):
        raise ValueError(f"a plugin gave {dict(answer)!r}, which tells no carbon intensity")
    return Intensity(grams, uncertainty, str(answer.get("source", "no source given")), answer.get("sampled") is True)


def _over_time(found: Sequence[Intensity]) -> Reading:
    """Return the reading of evenly spaced intensities: each stretch between two counts with their mean."""
    grams = [one.grams for one in found]
    mean = _trapezoid(grams)
    spread = max(0.0, mean - min(grams), max(grams) - mean)
    uncertainty = _trapezoid([one.uncertainty for one in found]) + spread
    note = "; ".join(dict.fromkeys(one.source for one in found))
    return _reading(mean, uncertainty, all(one.sampled for one in found), note)


def _trapezoid(values: Sequence[float]) -> float:
    return (sum(values) - (values[0] + values[-1]) / 2) / (len(values) - 1)


def _reading(grams: float, uncertainty: float, sampled: bool, note: str) -> Reading:
    source: Source = "sampled" if sampled else "estimated"
    return Reading(resource=_RESOURCE, value=grams, unit="g/kWh", uncertainty=uncertainty, source=source, note=note)


def _is_amount(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _create(options: Mapping[str, Any]) -> CarbonMeter:
    intensity_at = options.get("intensity_at", lambda location, when: None)
    return CarbonMeter(options.get("location"), options.get("carbon_intensity"), intensity_at)


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("carbon", _create, resources=(_RESOURCE,), options=("location", "carbon_intensity"))
