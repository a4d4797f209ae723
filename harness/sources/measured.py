"""From what a store holds of the windows of trials to the readings of each resource, measured and derived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

import attrs
import numpy as np
from attrs import frozen

from harness.measuring.derive import derive
from harness.measuring.readings import Readings
from harness.pepr import Codes
from harness.records import Missing, Reading
from harness.sources.table import Query
from harness.store.reading import Gap, Row, Total

R = TypeVar("R", Reading, Readings)
T = TypeVar("T", Total, Gap)
_READING = itemgetter(*(field.name for field in attrs.fields(Reading)))
_MISSING = itemgetter(*(field.name for field in attrs.fields(Missing)))
# What is looked for in notes; others, which may differ from trial to trial, are not kept.
MEMORY_HOST, PUE_INCLUDED = "memory_host", "PUE included"


@frozen(eq=False)
class Windows:
    """What was `found` of each resource and what is `lost` in the trials `lines`, which were metered alike."""

    lines: Codes
    found: Mapping[str, Readings]
    lost: Mapping[str, Missing]


def measured(
    trial: Row, rows: Iterable[Row], gaps: Iterable[Row], query: Query
) -> tuple[dict[str, Reading], dict[str, Missing]]:
    """Return the reading of each resource of one window, measured or derived, and the gap of each that has none.

    *rows* and *gaps* are what the store holds of that window of *trial*.
    """
    readings = [Reading(*_READING(row)) for row in rows if row["device"] is None]
    given: list[Reading] = []
    if query.carbon_intensity is not None:
        given.append(Reading("carbon_intensity", query.carbon_intensity, "g/kWh", 0.0, "estimated", note="given"))
    if (data := _data(trial)) is not None:
        given.append(Reading("data", data, "samples", 0.0, "counter"))
    missing = [Missing(*_MISSING(row)) for row in gaps]
    return _with_derived(readings, given, missing, query, trial["device"], _pue(trial, query))


def measured_alike(trials: Sequence[Row], totals: Iterable[Total], gaps: Iterable[Gap], query: Query) -> list[Windows]:
    """Return what `measured` finds of one window of each trial, taking together those that were metered alike.

    *totals* and *gaps* are what the store holds of that window. The trials of a study were metered in a few ways, and
    numbers of thousands of trials are checked and added up as arrays.
    """
    taken, lost = _by_trial(trials, totals), _by_trial(trials, gaps)
    alike: dict[_Way, list[int]] = {}
    for line, trial in enumerate(trials):
        kinds = tuple((*total[3:6], _telling(total[6])) for total in taken[line])
        # Where the device is not known, the readings tell, and differ from trial to trial.
        alone = line if trial["device"] is None else None
        known = (trial["device"], alone, _data(trial) is not None, _pue(trial, query))
        way = _Way(kinds, tuple(gap[1:] for gap in lost[line]), *known)
        alike.setdefault(way, []).append(line)
    return [
        _windows(way, lines, [taken[line] for line in lines], [_data(trials[line]) for line in lines], query)
        for way, lines in alike.items()
    ]


@frozen
class _Way:
    """How a trial was metered: all that its readings and gaps are but the numbers."""

    kinds: tuple[tuple[Any, ...], ...]
    lost: tuple[tuple[str, str], ...]
    device: str | None
    alone: int | None
    has_data: bool
    pue: float


def _by_trial(trials: Sequence[Row], rows: Iterable[T]) -> list[list[T]]:
    """The *rows* of each of *trials*; they begin with its key."""
    found: dict[str, list[T]] = {trial["trial"]: [] for trial in trials}
    for row in rows:
        if (own := found.get(row[0])) is not None:
            own.append(row)
    return list(found.values())


def _windows(
    way: _Way, lines: Sequence[int], taken: Sequence[Sequence[Total]], data: Sequence[float | None], query: Query
) -> Windows:
    values, bars = (np.array([[total[place] for total in own] for own in taken], dtype=np.float64) for place in (1, 2))
    readings = [
        Readings(resource, values[:, column], unit, bars[:, column], source, note)
        for column, (resource, unit, source, note) in enumerate(way.kinds)
    ]
    given, exact = [], np.zeros(len(lines))
    if query.carbon_intensity is not None:
        intensity = np.full(len(lines), query.carbon_intensity)
        given.append(Readings("carbon_intensity", intensity, "g/kWh", exact, "estimated", "given"))
    if way.has_data:
        given.append(Readings("data", np.array(data, dtype=np.float64), "samples", exact, "counter"))
    missing = [Missing(resource, reason) for resource, reason in way.lost]
    found, lost = _with_derived(readings, given, missing, query, way.device, way.pue)
    return Windows(np.array(lines, dtype=np.intp), found, lost)


def _with_derived(
    readings: list[R], given: list[R], missing: list[Missing], query: Query, device: str | None, pue: float
) -> tuple[dict[str, R], dict[str, Missing]]:
    if query.recomputes_carbon:
        readings = [reading for reading in readings if reading.resource != "carbon"]
    if query.carbon_intensity is not None:
        readings = [reading for reading in readings if reading.resource != "carbon_intensity"]
        missing = [gap for gap in missing if gap.resource != "carbon_intensity"]
    readings = readings + given
    derived, underived = derive(readings, missing, device_kind=device, pue=pue)
    found: dict[str, R] = {reading.resource: reading for reading in derived}
    for reading in readings:
        found.setdefault(reading.resource, reading)
    return found, {gap.resource: gap for gap in reversed(missing + underived) if gap.resource not in found}


def _telling(note: Any) -> Any:
    """The *note* where the table has a use for it."""
    return note if not isinstance(note, str) or MEMORY_HOST in note or PUE_INCLUDED in note else None


def _pue(trial: Row, query: Query) -> float:
    """The PUE that is asked for, else the one that the trial ran with."""
    return query.pue or number((trial["facts"] or {}).get("pue")) or 1.0


def _data(trial: Row) -> float | None:
    """How many images it was trained on; None where that is not known."""
    return number((trial["facts"] or {}).get("data")) or None


def number(value: object) -> float | None:
    """Return *value* as a number, None where it is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
