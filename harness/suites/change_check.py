"""Holds changes against limits. A limit is broken only where all that the change may be lies beyond it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from attrs import field, frozen

from harness.errors import HarnessError
from harness.quantities import format_quantity
from harness.suites.benchmark_table import listed
from harness.suites.change import Change
from harness.suites.change_limits import ChangeLimit
from harness.suites.earlier import Result


@frozen
class GateVerdict:
    """The changes that are `broken` with the line that says so, and lines on what is `undecided` or not held."""

    broken: list[tuple[Change, str]] = field(factory=list)
    undecided: list[str] = field(factory=list)


def check_changes(now: Sequence[Result], changes: Sequence[Change], limits: Sequence[ChangeLimit]) -> GateVerdict:
    """Hold the *changes* of the results of *now* against *limits*; those since a run unlike that of now break none."""
    verdict = GateVerdict()
    for limit in limits:
        concerned = [change for change in changes if change.now.resource == limit.resource]
        verdict.undecided.extend(_not_held(limit, now, {change.result.test for change in concerned}))
        for change in concerned:
            _check(change, limit, verdict)
    return verdict


def _not_held(limit: ChangeLimit, now: Sequence[Result], held: Collection[str]) -> Iterator[str]:
    """Yield a line for each reason why benchmarks are not held to *limit*."""
    rest = [result for result in now if result.test not in held]
    unread = [result.name for result in rest if result.taken.total(limit.resource) is None]
    new = [result.name for result in rest if result.taken.total(limit.resource) is not None]
    if unread:
        yield f"{limit.text} was not held: no {limit.resource} was read of {listed(unread)}"
    if new:
        yield f"{limit.text} was not held: no earlier run has {limit.resource} of {listed(new)}"


def _check(change: Change, limit: ChangeLimit, verdict: GateVerdict) -> None:
    if change.unlike is not None:
        return
    try:
        allowed = limit.growth(change.before.value, change.before.unit)
    except HarnessError as error:
        verdict.broken.append((change, f"{limit.text}: {error}"))
        return
    if change.low > allowed:
        verdict.broken.append((change, f"{_told(change)}: over its limit of {limit.limit}"))
    elif change.change > allowed:
        verdict.undecided.append(f"undecided: {_told(change)}: by chance or by more than its limit of {limit.limit}")


def _told(change: Change) -> str:
    return (
        f"{change.now.resource} of {change.result.test} changed by {change_text(change)} (may be {range_text(change)})"
    )


def change_text(change: Change) -> str:
    """Return the change in percent or, where that means nothing, in its unit: "+5.2 %"."""
    percent = change.percent(change.change)
    if percent is None:
        return f"+{format_quantity(change.change, change.now.unit)}"
    return f"{percent:+.3g} %"


def range_text(change: Change) -> str:
    """Return between what the change lies: "+3.1 to +7.4 %"; "anything" where nothing tells."""
    if not math.isfinite(change.high):
        return "anything"
    ends = [change.percent(end) for end in (change.low, change.high)]
    if ends[0] is None or ends[1] is None:
        return f"{change.low:+.3g} to {change.high:+.3g} {change.now.unit}"
    return f"{ends[0]:+.3g} to {ends[1]:+.3g} %"
