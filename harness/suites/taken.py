"""What a test took: the readings of a window or a trial, of several in one run, and of several runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from harness.measuring.window import Window
from harness.meter import COMBINE
from harness.records import Missing, Reading
from harness.suites.per_call import combined


@frozen
class Taken:
    """The readings of one stretch, derived ones too, and what is missing of it."""

    readings: Sequence[Reading] = ()
    missing: Sequence[Missing] = ()

    def total(self, resource: str) -> Reading | Missing | None:
        """Return the reading of *resource* over all devices or why there is none; None where nobody asked for it."""
        found = (r for r in self.readings if r.resource == resource and r.device is None and r.epoch is None)
        lost = (gap for gap in self.missing if gap.resource == resource and gap.epoch is None)
        return next(found, None) or next(lost, None)


def taken_of(window: Window) -> Taken:
    """Return what a *window* that has ended says."""
    derived, lost = window.derived()
    return Taken([*window.readings, *derived], [*window.missing, *lost])


def in_one_run(stretches: Iterable[Taken], resource: str) -> Reading | Missing:
    """Return what the *stretches* of one run took together; one that lies within another is in that one already.

    A stretch that nobody metered for *resource* does not count; where one misses it, it is missing.
    """
    totals = [total for total in (taken.total(resource) for taken in stretches) if total is not None]
    for total in totals:
        if isinstance(total, Missing):
            return total
    readings = [total for total in totals if isinstance(total, Reading)]
    if not readings:
        return Missing(resource, "none of its meters reads it")
    return combined([one for one in readings if not any(_within(one, other) for other in readings)])


def over_runs(runs: Sequence[Reading | Missing]) -> Reading | Missing:
    """Return what one of the *runs* took: the mean of what adds up, with the mean of the bars; the highest of peaks."""
    readings = [run for run in runs if isinstance(run, Reading)]
    if len(readings) < len(runs):
        return next(run for run in runs if isinstance(run, Missing))
    return one_of(combined(readings), len(readings))


def one_of(total: Reading | Missing, runs: int) -> Reading | Missing:
    """Return what one of *runs* equal runs took of what *total* says of all of them."""
    if isinstance(total, Missing) or total.resource in COMBINE:
        return total
    return evolve(total, value=total.value / runs, uncertainty=total.uncertainty / runs)


def _within(inner: Reading, outer: Reading) -> bool:
    spans = (outer.start_ns, inner.start_ns, inner.stop_ns, outer.stop_ns)
    if inner is outer or None in spans:
        return False
    begun, start, stop, ended = (edge or 0 for edge in spans)
    return begun <= start and stop <= ended
