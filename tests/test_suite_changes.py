"""How a benchmark changed, by made-up results of earlier runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve

from harness.records import Benchmark, Metered, Reading
from harness.store.benchmarks import StoredBenchmark
from harness.suites.change import Change, changes
from harness.suites.change_check import check_changes
from harness.suites.change_limits import parse_limit
from harness.suites.change_table import write_changes
from harness.suites.earlier import Result
from harness.suites.per_call import per_call

STUDY: Mapping[str, Any] = {"machine": {"host": "a"}, "settings": {"options": {}}}


def energy(joules: float, part: str = "energy_gpu") -> Reading:
    return Reading(part, joules, "J", 0.01, "counter", meter="nvml")


def peak(bytes: float, part: str = "memory_host") -> Reading:
    return Reading(part, bytes, "B", 1.0, "counter", meter="memory")


def runs_of(*runs: Sequence[Reading], spread: float | None = 0.01) -> list[Result]:
    """The results of one benchmark, of one call each, in runs that read this."""
    results = []
    for number, readings in enumerate(runs, 1):
        metered = Metered(1, 1.0, (), tuple(readings))
        stored = StoredBenchmark(number, number, True, "2026-01-01", Benchmark("test_a.py::test_a", metered, spread))
        results.append(Result(stored, STUDY, per_call(metered)))
    return results


def last_change(results: Sequence[Result], resource: str) -> Change:
    (found,) = (change for change in changes(results[-1:], results) if change.now.resource == resource)
    return found


@pytest.mark.parametrize(
    ("before", "now", "resource", "told"),
    [
        (
            [peak(1e9)],
            [peak(1e9), peak(1e6, "memory_cuda")],
            "memory",
            "memory was derived from memory_host, is now derived from memory_cuda",
        ),
        (
            [energy(10)],
            [energy(10), energy(5, "energy_cpu")],
            "energy",
            "energy was derived from energy_gpu, is now derived from energy_gpu + energy_cpu",
        ),
    ],
)
def test_sums_of_other_parts_are_not_compared(
    before: Sequence[Reading], now: Sequence[Reading], resource: str, told: str
) -> None:
    assert told == last_change(runs_of(before, now), resource).unlike
    assert last_change(runs_of(before, now, now), resource).unlike is None


def test_readings_in_other_units_are_not_compared() -> None:
    turns = Reading("work", 5.0, "turns", 0.0, "counter", meter="gauge")

    assert (
        "work was in turns, is now in rounds"
        == last_change(runs_of([turns], [evolve(turns, unit="rounds")]), "work").unlike
    )


def test_single_rounds_in_a_few_runs_break_no_limit() -> None:
    results = runs_of([energy(10)], [energy(30)], spread=None)
    verdict = check_changes(results[-1:], changes(results[-1:], results), [parse_limit("energy:5%")])

    assert not verdict.broken
    (told,) = verdict.undecided
    assert told.startswith("undecided: energy of test_a.py::test_a changed by +200 % (may be anything): by chance or")


def test_single_rounds_are_held_to_a_limit_by_many_runs() -> None:
    results = runs_of(*([energy(joules)] for joules in (10, 10.1, 10, 10.1, 30)), spread=None)
    verdict = check_changes(results[-1:], changes(results[-1:], results), [parse_limit("energy:5%")])

    assert 1 == len(verdict.broken)


class Lines:
    """Keeps what is written to a terminal."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write_line(self, line: str, **markup: bool) -> None:
        self.written.append(line)


def test_tests_of_one_name_in_two_files_are_told_apart() -> None:
    study = {**STUDY, "created": "2026-01-01", "commit": None, "packages": {}, "plugins": {}}
    results = [evolve(result, study=study) for result in runs_of([energy(10)], [energy(12)])]
    others = [
        evolve(one, stored=evolve(one.stored, benchmark=evolve(one.stored.benchmark, test="test_b.py::test_a")))
        for one in results
    ]
    one, both = Lines(), Lines()
    write_changes(one, changes(results[-1:], results))
    write_changes(both, changes([results[-1], others[-1]], [*results, *others]))

    assert ["test_a"] == [line.split()[0] for line in one.written if " energy " in line]
    assert ["test_a.py::test_a", "test_b.py::test_a"] == [
        line.split()[0] for line in both.written if " energy " in line
    ]
