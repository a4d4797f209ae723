"""Benchmarks in a store: what is stored is what is read, and stores of before there were any."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from attrs import evolve
from store_events import STUDY, filled_store

from harness.errors import HarnessError
from harness.records import Benchmark, Metered, Missing, Reading
from harness.store.benchmarks import BenchmarkStore, read_benchmarks
from harness.store.file_lock import FileLock
from harness.store.reading import open_reader
from harness.store.store import Store
from harness.suites.earlier import read_results

READINGS = (
    Reading("energy_gpu", 6.5, "J", 0.25, "counter", meter="nvml", note="sharp"),
    Reading("energy_gpu", 6.5, "J", 0.25, "counter", device="GPU-1", meter="nvml"),
)
MISSING = (Missing("energy_cpu", "no RAPL", "rapl"),)
BENCHMARK = Benchmark("tests/test_a.py::test_a[1]", Metered(20, 1.5, ((5, 9), (11, 12)), READINGS, MISSING), 0.125)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sqlite"


def sql(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def stored(path: Path) -> list[Benchmark]:
    with open_reader(path) as reader:
        return [one.benchmark for one in read_benchmarks(reader)]


def add(path: Path, *benchmarks: Benchmark) -> list[int]:
    with BenchmarkStore.open(path) as store:
        study = store.begin_study(evolve(STUDY, origin="pytest"))
        return [store.add(study, one) for one in benchmarks]


def old_store(path: Path) -> Path:
    """A store as it was before there were benchmarks in one, with a trial."""
    filled_store(path)
    tables = ("benchmark_readings", "benchmark_missing", "benchmarks")
    sql(path, "".join(f"DROP TABLE {table};" for table in tables) + "PRAGMA user_version = 1")
    return path


def test_what_is_stored_is_what_is_read(path: Path) -> None:
    other = Benchmark("b", Metered(1, 0.0, ()))
    first, _ = add(path, BENCHMARK, other)

    assert [BENCHMARK, other] == stored(path)
    with open_reader(path) as reader:
        found = read_benchmarks(reader)[0]
        assert (first, 1, True) == (found.number, found.study, found.accepted)
        assert ["pytest"] == [study["origin"] for study in reader.studies()]


def test_patience_lasts_until_another_has_written(path: Path) -> None:
    add(path, BENCHMARK)
    held = FileLock.acquire(path.with_name(f"{path.name}.lock"), "it")
    with pytest.raises(HarnessError, match="is being written by"):
        BenchmarkStore.open(path, patience=0.05)

    timer = threading.Timer(0.3, held.release)
    timer.start()
    BenchmarkStore.open(path, patience=60).close()
    timer.join()


def test_refused_results_stay_and_say_so(path: Path) -> None:
    add(path, BENCHMARK)
    with BenchmarkStore.open(path) as store:
        study = store.begin_study(evolve(STUDY, origin="pytest"))
        for test in ("a", "b", "b", "c"):
            store.add(study, evolve(BENCHMARK, test=test), accepted=False)
    assert [True, False, False, False, False] == accepted(path)

    with BenchmarkStore.open(path) as store:
        store.accept(study, refused=["b"])
    assert [True, True, False, False, True] == accepted(path)


def accepted(path: Path) -> list[bool]:
    with open_reader(path) as reader:
        return [one.accepted for one in read_benchmarks(reader)]


def test_store_of_before_benchmarks_is_read_as_it_is(path: Path) -> None:
    before = old_store(path).read_bytes()

    assert [] == stored(path)
    assert before == path.read_bytes()


@pytest.mark.parametrize("kind", [Store, BenchmarkStore])
def test_store_of_before_benchmarks_gets_their_tables_when_written(
    path: Path, kind: type[Store | BenchmarkStore]
) -> None:
    old_store(path)
    kind.open(path).close()

    add(path, BENCHMARK)
    assert [BENCHMARK] == stored(path)
    with open_reader(path) as reader:
        assert 1 == len(reader.trials())


def test_migration_that_is_cut_short_leaves_the_old_store(path: Path) -> None:
    old_store(path)
    # The second of the new tables cannot be made.
    sql(path, "CREATE TABLE benchmark_readings (mine)")

    with pytest.raises(HarnessError, match="benchmark_readings already exists"):
        Store.open(path)
    sql(path, "DROP TABLE benchmark_readings")
    add(path, BENCHMARK)
    assert [BENCHMARK] == stored(path)


def test_benchmark_of_a_study_that_is_gone_is_not_stored(path: Path) -> None:
    with BenchmarkStore.open(path) as store, pytest.raises(HarnessError, match="was replaced during the run"):
        store.add(7, BENCHMARK)

    assert [] == stored(path)


@pytest.mark.parametrize("windows", ["[[1]]", "7", '"ab"', "[1"])
def test_content_that_cannot_be_is_one_line(path: Path, windows: str) -> None:
    add(path, BENCHMARK)
    sql(path, f"UPDATE benchmarks SET windows = '{windows}'")

    with pytest.raises(HarnessError, match="malformed content"):
        stored(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("studies SET machine = '[1]'", r"content \(machine is no JSON object\)"),
        ("studies SET settings = '7'", r"content \(settings is no JSON object\)"),
        ("benchmark_readings SET resource = x'00'", r"content \('resource' must be <class 'str'> \(got .{,50}\);"),
    ],
)
def test_content_of_another_kind_is_one_short_line(path: Path, change: str, told: str) -> None:
    add(path, BENCHMARK)
    sql(path, f"UPDATE {change}")

    with pytest.raises(HarnessError, match=told), open_reader(path) as reader:
        read_results(reader)
