"""What a store keeps of benchmarks: one row for each in each run of pytest, with its readings as measured."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from attrs import frozen

from harness.errors import HarnessError
from harness.records import Benchmark, Metered, Missing, Reading
from harness.store.reading import Row, StoreReader
from harness.store.schema import store_error
from harness.store.store_file import StoreFile

_READING = ("meter", "resource", "device", "value", "unit", "uncertainty", "source", "note")
_MISSING = ("meter", "resource", "reason")
R = TypeVar("R", Reading, Missing)


@frozen
class StoredBenchmark:
    """A benchmark as it lies in a store: the number of its row, of its study, and when it was finished (RFC 3339).

    Later results are set beside an `accepted` one.
    """

    number: int
    study: int
    accepted: bool
    finished: str
    benchmark: Benchmark


class BenchmarkStore(StoreFile):
    """A store open for benchmarks."""

    def add(self, study: int, benchmark: Benchmark, accepted: bool = True) -> int:
        """Store *benchmark* of *study*, all of it or nothing, and return the number of its row.

        Later results are set beside it where it is *accepted*, now or by `accept`.

        Raises HarnessError where the store cannot be written or is not the one that the study lies in.
        """
        metered = benchmark.metered
        try:
            with self._transaction():
                number = self._insert("benchmarks", _row(study, benchmark) | {"accepted": int(accepted)})
                self._insert_all("benchmark_readings", {"benchmark": number}, _READING, metered.readings)
                self._insert_all("benchmark_missing", {"benchmark": number}, _MISSING, metered.missing)
        except sqlite3.IntegrityError as error:
            raise HarnessError(
                f"store {str(self.path)!r} was replaced during the run; put it back and run again"
            ) from error
        return number

    def accept(self, study: int, refused: Iterable[str]) -> None:
        """Have later results be set beside those of *study*, but for those of the tests *refused*."""
        with self._transaction():
            self._execute("UPDATE benchmarks SET accepted = 1 WHERE study = ?", (study,))
            for test in refused:
                self._execute("UPDATE benchmarks SET accepted = 0 WHERE study = ? AND test = ?", (study, test))


def read_benchmarks(reader: StoreReader) -> list[StoredBenchmark]:
    """Return the benchmarks of a store, oldest first; none of one that an older harness wrote.

    Raises HarnessError for content that cannot be.
    """
    try:
        readings = _by_benchmark(reader.benchmark_readings(), Reading)
        missing = _by_benchmark(reader.benchmark_missing(), Missing)
        return [
            _stored(row, readings.get(row["number"], []), missing.get(row["number"], [])) for row in reader.benchmarks()
        ]
    except (TypeError, ValueError) as error:
        raise store_error(reader.path, f"malformed content ({error.args[0]})") from error


def _by_benchmark(rows: list[Row], make: Callable[..., R]) -> dict[int, list[R]]:
    found: dict[int, list[R]] = {}
    for row in rows:
        found.setdefault(row.pop("benchmark"), []).append(make(**row))
    return found


def _row(study: int, benchmark: Benchmark) -> dict[str, Any]:
    metered = benchmark.metered
    return {
        "study": study,
        "test": benchmark.test,
        "calls": metered.calls,
        "seconds": metered.seconds,
        "windows": json.dumps(metered.windows),
        "spread": benchmark.spread,
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
    }


def _stored(row: dict[str, Any], readings: list[Reading], missing: list[Missing]) -> StoredBenchmark:
    windows = tuple((start, stop) for start, stop in row["windows"])
    metered = Metered(row["calls"], row["seconds"], windows, tuple(readings), tuple(missing))
    benchmark = Benchmark(row["test"], metered, row["spread"])
    return StoredBenchmark(row["number"], row["study"], row["accepted"], row["finished"], benchmark)
