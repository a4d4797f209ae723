"""Holds readings against limits. A limit is broken only where the error bar lies wholly beyond it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import field, frozen

from harness.errors import HarnessError
from harness.meter import RESOURCE_UNITS
from harness.quantities import parse_quantity
from harness.records import Missing, Reading
from harness.suites.benchmark_table import short_quantity


@frozen
class Verdict:
    """One line for each limit that is `broken`, or could not be held to, and for each that is `undecided`."""

    broken: list[str] = field(factory=list)
    undecided: list[str] = field(factory=list)


def check_limits(limits: Mapping[str, str], take: Callable[[str], Reading | Missing], of: str) -> Verdict:
    """Hold what *take* says of each resource against its limit; *of* says what it was taken of, such as "one call"."""
    verdict = Verdict()
    for resource, text in limits.items():
        reading = take(resource)
        if isinstance(reading, Missing):
            verdict.broken.append(f"no reading of {resource} to hold its limit of {text} to: {reading.reason}")
        else:
            _check(reading, text, of, verdict)
    return verdict


def _check(reading: Reading, text: str, of: str, verdict: Verdict) -> None:
    try:
        limit = parse_quantity(text, RESOURCE_UNITS.get(reading.resource, reading.unit))
    except HarnessError as error:
        verdict.broken.append(f"the limit of {reading.resource}: {error}")
        return
    if reading.value - reading.uncertainty > limit:
        verdict.broken.append(f"{_told(reading, of)}: over its limit of {text}")
    elif reading.value + reading.uncertainty > limit:
        verdict.undecided.append(f"undecided: {_told(reading, of)}: its limit of {text} lies within the error bar")


def _told(reading: Reading, of: str) -> str:
    value, bar = (short_quantity(number, reading.unit) for number in (reading.value, reading.uncertainty))
    note = f"; {reading.note}" if reading.note else ""
    return f"{reading.resource} of {of} was {value} ± {bar} ({reading.meter}, {reading.source}{note})"
