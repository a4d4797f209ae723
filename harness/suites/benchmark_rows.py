"""The benchmarks of a store as rows of a table: one for each reading of one call, and for each that is missing."""

from __future__ import annotations

from collections.abc import Iterator

from harness.store.reading import Row, StoreReader
from harness.suites.earlier import Result, read_results

_READING = ("meter", "resource", "device", "value", "unit", "uncertainty", "source", "note")
_MISSING = ("meter", "resource", "reason")
COLUMNS = ("test", "study", "commit", "host", "finished", "accepted", "calls", "spread", *_READING, "reason")


def benchmark_rows(reader: StoreReader, accepted: bool = False) -> list[Row]:
    """Return the rows, with `COLUMNS`, of all benchmarks or of the *accepted* ones, oldest first.

    Raises HarnessError for content that cannot be.
    """
    results = [one for one in read_results(reader) if one.stored.accepted or not accepted]
    return [row for result in results for row in _rows(result)]


def _rows(result: Result) -> Iterator[Row]:
    stored = result.stored
    own: Row = {
        "test": result.test,
        "study": stored.study,
        "commit": result.study["commit"],
        "host": (result.study["machine"] or {}).get("host"),
        "finished": stored.finished,
        "accepted": stored.accepted,
        "calls": stored.benchmark.metered.calls,
        "spread": stored.benchmark.spread,
    }
    for reading in result.taken.readings:
        yield own | {name: getattr(reading, name) for name in _READING}
    for gap in result.taken.missing:
        yield own | {name: getattr(gap, name) for name in _MISSING}
