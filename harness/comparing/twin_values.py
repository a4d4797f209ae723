"""What a measure, by its name, is in each trial of two runs, with the ends of its error bars."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from attrs import evolve, frozen

from harness.comparing.measures import PERFORMANCE, measures_of, score_name, scores
from harness.comparing.twins import Twins
from harness.errors import HarnessError, unknown
from harness.pepr import Floats
from harness.quantities import LETTERS
from harness.scoring.bounds import Bounds
from harness.scoring.ranking import Request, chosen_weights, given_bounds
from harness.scoring.scored_rows import numbers
from harness.sources.table import Table, carried, error_bar

# So many names, `unknown` lists by itself.
_LISTED_ANYWAY = 12
_PEPR = re.compile(r"pepr(?:[-_](?P<letter>.+))?", re.IGNORECASE)


@frozen(eq=False)
class Values:
    """A measure in each trial `[lines]`, NaN where missing; `low` and `high` hold the truth, NaN where not known."""

    value: Floats
    low: Floats
    high: Floats


@frozen(eq=False)
class TwinValues:
    """A measure in both runs, made of the columns `parts`.

    `relative` says that its change is told in percent where nothing else is asked.
    """

    name: str
    unit: str | None
    a: Values
    b: Values
    relative: bool
    parts: tuple[str, ...] = ()


def is_column(name: str) -> bool:
    """Say whether *name* means a column of a table: whatever is no performance and no PePR."""
    return name != PERFORMANCE and _PEPR.fullmatch(name) is None


def default_names(twins: Twins, request: Request) -> list[str]:
    """Return the measures that are told where none is asked for: those that a comparison of groups has."""
    return [measure.name for measure in measures_of(twins.a, request)]


def twin_values(twins: Twins, name: str, request: Request) -> TwinValues:
    """Return the measure *name*: `performance`, a resource or letter, a metric or column, PePR or PePR-LETTER.

    Raises HarnessError for a name that neither run knows.
    """
    if name == PERFORMANCE:
        a, b = (_plain(numbers(table.frame, PERFORMANCE)) for table in (twins.a, twins.b))
        return TwinValues(name, None, a, b, relative=False)
    resource = twins.a.resolve(name)
    if resource in twins.a.frame or resource in twins.a.gaps:
        a, b = (_reading(table, resource) for table in (twins.a, twins.b))
        return TwinValues(resource, twins.a.units.get(resource), a, b, relative=True)
    if (match := _PEPR.fullmatch(name)) is not None:
        return _scored(twins, match["letter"], request)
    if resource in LETTERS.values():
        raise HarnessError(f"{resource} was not read in the first run; there is {', '.join(twins.a.resources)}")
    if twins.stores and any(name in metrics for metrics in (_metrics(twins.a), _metrics(twins.b))):
        a, b = (_plain(_metric(table, name)) for table in (twins.a, twins.b))
        return TwinValues(name, None, a, b, relative=False)
    known = [PERFORMANCE, *twins.a.resources, *[f"PePR-{letter}" for letter in twins.a.letters]]
    known += _metrics(twins.a) if twins.stores else ()
    raise unknown("measure", name, known, hint="" if len(known) <= _LISTED_ANYWAY else f"there is {', '.join(known)}")


def _plain(values: Floats) -> Values:
    nothing = np.full(len(values), np.nan)
    return Values(values, nothing, nothing)


def _reading(table: Table, name: str) -> Values:
    size = len(table.frame)
    value = numbers(table.frame, name) if name in table.frame else np.full(size, np.nan)
    bar = numbers(table.frame, error_bar(name)) if error_bar(name) in table.frame else np.full(size, np.nan)
    # A cost is not below 0; another column of a table may be.
    low = np.where(value >= 0, np.maximum(value - bar, 0.0), value - bar)
    return Values(value, low, value + bar)


def _metrics(table: Table) -> list[str]:
    return sorted({name for metrics in table.frame[carried("metrics")] for name in metrics or {}})


def _metric(table: Table, name: str) -> Floats:
    return np.array(
        [(metrics or {}).get(name, np.nan) for metrics in table.frame[carried("metrics")]], dtype=np.float64
    )


def _scored(twins: Twins, letter: str | None, request: Request) -> TwinValues:
    """PePR of both runs, with the bounds of the whole first run (what it would have said of the second), or given."""
    weights = _weights_of(twins, letter, request)
    given = None if request.bounds is None else given_bounds(request.bounds, request)
    bounds = scores(twins.cohort, weights, request, given)[1]
    a, b = (_score_ends(table, weights, request, bounds) for table in (twins.a, twins.b))
    parts = (PERFORMANCE, *[name for name, weight in weights.items() if weight > 0])
    return TwinValues(score_name(weights), None, a, b, relative=False, parts=parts)


def _weights_of(twins: Twins, letter: str | None, request: Request) -> dict[str, float]:
    if letter is None:
        return chosen_weights(twins.cohort, request, strict=True)[0]
    resource = twins.a.resolve(letter if letter in (*twins.a.letters, *twins.a.resources) else letter.upper())
    if resource not in twins.a.frame or resource not in twins.b.frame:
        name = LETTERS.get(letter.upper(), letter)
        raise HarnessError(f"PePR-{letter} needs {name}, which was not read; there is {', '.join(twins.a.resources)}")
    return {resource: 1.0}


def _score_ends(table: Table, weights: dict[str, float], request: Request, bounds: Bounds) -> Values:
    """The scores, and what they are at the ends of the error bars: the dearer, the lower."""

    def at(ends: Sequence[Floats]) -> Floats:
        frame = table.frame.assign(**dict(zip(weights, ends, strict=True)))
        return scores(evolve(table, frame=frame), weights, request, bounds)[0]

    readings = [_reading(table, name) for name in weights]
    low, high = at([one.high for one in readings]), at([one.low for one in readings])
    return Values(at([one.value for one in readings]), low, high)
