"""How a resource of a benchmark changed since the last run, and between which ends the change surely lies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from attrs import frozen

from harness.meter import COMBINE
from harness.records import Reading
from harness.suites.earlier import Earlier, Result, earlier_of
from harness.suites.noise import FEWEST_RUNS, noise_of_rounds, noise_of_runs


@frozen
class Change:
    """One resource of one benchmark, in the run of `now` beside that of `before`.

    `low` and `high` are the ends of what the change may be, in the readings' unit. `runs` earlier runs are like that of
    now; where there is none, `unlike` says in what the one of `before` differs, and the change is not the benchmark's.
    """

    result: Result
    last: Result
    before: Reading
    now: Reading
    low: float
    high: float
    runs: int
    unlike: str | None = None

    @property
    def change(self) -> float:
        """The change in the readings' unit."""
        return self.now.value - self.before.value

    def percent(self, change: float) -> float | None:
        """Return *change*, in the readings' unit, in percent of the earlier value; None where that was zero."""
        return 100 * change / self.before.value if self.before.value else None


def changes(now: Sequence[Result], results: Sequence[Result]) -> list[Change]:
    """Return how each resource of each result of *now* changed; of those that no earlier of *results* has, nothing."""
    by_test: dict[str, list[Result]] = {}
    for result in results:
        by_test.setdefault(result.test, []).append(result)
    return [change for result in now for change in _changes_of(result, by_test.get(result.test, []))]


def _changes_of(now: Result, results: Sequence[Result]) -> Iterator[Change]:
    for reading in now.taken.readings:
        earlier = earlier_of(now, reading, results) if reading.device is None else None
        if earlier is not None:
            yield _change(now, reading, earlier)


def _change(now: Result, reading: Reading, earlier: Earlier) -> Change:
    """Error bars may both be off to one side; the noise between runs is apart from them: their squares add."""
    last, before = earlier.results[-1], earlier.readings[-1]
    half = math.hypot(before.uncertainty + reading.uncertainty, _noise(now, reading, earlier))
    change = reading.value - before.value
    runs = 0 if earlier.unlike else len(earlier.results)
    return Change(now, last, before, reading, change - half, change + half, runs, earlier.unlike)


def _noise(now: Result, reading: Reading, earlier: Earlier) -> float:
    if len(earlier.readings) >= FEWEST_RUNS:
        return noise_of_runs([one.value for one in earlier.readings])
    if reading.resource in COMBINE:
        # How long rounds last says nothing of a peak or an intensity.
        return 0.0
    spreads = (earlier.results[-1].stored.benchmark.spread, now.stored.benchmark.spread)
    return noise_of_rounds(earlier.readings[-1].value, reading.value, spreads)
