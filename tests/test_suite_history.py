"""Suites that keep their results and set them beside earlier ones: real pytest-benchmark, a gauge of exact joules."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from attrs import evolve
from suite_plugins import GAUGE
from suite_runs import GATE, STORE, SUITE, Run, bring_suite, results, runner_of

from harness.records import StudyRecord
from harness.store.benchmarks import BenchmarkStore, read_benchmarks
from harness.store.reading import open_reader


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    return bring_suite(pytester, monkeypatch)


@pytest.fixture
def run(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner_of(suite, monkeypatch)


@pytest.fixture(scope="module")
def store_of_one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that one run with 10 J leaves."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "gauge.py").write_text(GAUGE)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HARNESS_", "PYTEST_"))}
    environ |= {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}", "HARNESS_PLUGINS": "gauge"}
    subprocess.run([sys.executable, "-m", "pytest", *STORE], cwd=folder, env=environ, check=True)
    return folder / "h.sqlite"


@pytest.fixture
def once_run(suite: pytest.Pytester, run: Run, store_of_one_run: Path) -> Run:
    """A suite that was run once, with 10 J."""
    shutil.copy(store_of_one_run, suite.path)
    return run


def change_in_store(folder: Path, column: str, old: str, new: str) -> None:
    """Replace text in what the store says of the last run."""
    connection = sqlite3.connect(folder / "h.sqlite")
    with connection:
        last = "WHERE id = (SELECT max(id) FROM studies)"
        changed = connection.execute(f"UPDATE studies SET {column} = replace({column}, ?, ?) {last}", (old, new))
        assert changed.rowcount
    connection.close()


def test_first_run_has_nothing_to_be_compared_with(run: Run) -> None:
    done = run(*GATE)

    assert 0 == done.ret
    done.stdout.fnmatch_lines(
        [
            "harness: 1 benchmarks have no earlier result in *h.sqlite",
            "harness: energy:5% was not held: no earlier run has energy of test_uses",
        ]
    )


def test_growth_beyond_its_limit_fails_until_it_is_accepted(suite: pytest.Pytester, once_run: Run) -> None:
    for _ in range(2):
        worse = once_run(*GATE, joules=30)
        assert pytest.ExitCode.TESTS_FAILED == worse.ret
        worse.assert_outcomes(passed=1)
        worse.stdout.fnmatch_lines(
            [
                "*beside the last run on this machine*",
                "test_uses *energy * J * J * +??* % * more * 1",
                "harness: energy of test_suite.py::test_uses changed by +??* % (*): over its limit of 5%",
            ]
        )
    accepted = once_run("--harness-compare", joules=30)
    assert 0 == accepted.ret
    accepted.stdout.fnmatch_lines(["test_uses *energy * J * J * more * 1"])

    assert 0 == once_run(*GATE, joules=30).ret
    assert [True, False, False, True, True] == [one.accepted for one in results(suite.path)]


def test_less_is_no_failure_and_is_told(once_run: Run) -> None:
    done = once_run(*GATE, joules=2)

    assert 0 == done.ret
    done.stdout.fnmatch_lines(["test_uses *energy * J * J * -??* % * less * 1"])


def test_growth_that_may_be_the_error_bar_is_undecided(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_suite=SUITE.replace("bar = 0.01", "bar = 25.0"))
    run()
    done = run(*GATE, joules=14)

    assert 0 == done.ret
    done.stdout.fnmatch_lines(["harness: undecided: energy of *test_uses changed by +?* % (* to +* %)*limit of 5%"])


def add_runs(folder: Path, factors: Iterable[float]) -> None:
    """Add runs of the same machine with the joules of the last result times each of *factors*."""
    with open_reader(folder / "h.sqlite") as reader:
        study, last = reader.studies()[-1], read_benchmarks(reader)[-1].benchmark
    del study["study"]
    with BenchmarkStore.open(folder / "h.sqlite") as store:
        for factor in factors:
            readings = tuple(evolve(reading, value=reading.value * factor) for reading in last.metered.readings)
            store.add(
                store.begin_study(StudyRecord(**study)), evolve(last, metered=evolve(last.metered, readings=readings))
            )


def test_growth_that_earlier_runs_had_by_chance_is_undecided(suite: pytest.Pytester, once_run: Run) -> None:
    add_runs(suite.path, (3.0, 0.9, 2.8, 1.0))
    done = once_run(*GATE, joules=30)

    assert 0 == done.ret
    done.stdout.fnmatch_lines(["test_uses *energy * J * J * +* % * 5", "harness: undecided: energy of *"])


@pytest.mark.parametrize(("limit", "status"), [("energy:5J", 1), ("energy:50000mJ", 0), ("E:5", 1), ("work:500%", 0)])
def test_limits_are_percentages_or_quantities_of_any_resource(once_run: Run, limit: str, status: int) -> None:
    assert status == once_run("--harness-compare-fail", limit, joules=30).ret


def test_limit_that_some_benchmarks_are_not_held_to_is_told(suite: pytest.Pytester, once_run: Run) -> None:
    suite.makepyfile(test_suite=f"{SUITE}\n\ndef test_new(benchmark):\n    benchmark.pedantic(use, rounds=5)\n")
    done = once_run(*GATE, "--harness-compare-fail", "memory:5%")

    assert 0 == done.ret
    done.stdout.fnmatch_lines(
        [
            "harness: energy:5% was not held: no earlier run has energy of test_new",
            "harness: memory:5% was not held: no memory was read of test_uses, test_new",
        ]
    )


@pytest.mark.parametrize(
    ("column", "old", "new", "told"),
    [
        ("machine", '"host": "', '"host": "other-', "not comparable: it ran on another machine (other-*): test_uses"),
        (
            "settings",
            '"options": {}',
            '"options": {"pue": 2}',
            "not comparable: meters had other options (pue=2, now none)*",
        ),
    ],
)
def test_other_machines_are_shown_with_a_warning_and_fail_nothing(
    suite: pytest.Pytester, once_run: Run, column: str, old: str, new: str, told: str
) -> None:
    change_in_store(suite.path, column, old, new)
    done = once_run(*GATE, joules=30)

    assert 0 == done.ret
    done.stdout.fnmatch_lines(["test_uses *energy * J * J * +20* % * not comparable * 0", f"warning: {told}"])


def test_last_run_of_the_same_machine_goes_before_a_later_one_of_another(suite: pytest.Pytester, once_run: Run) -> None:
    once_run(joules=20)
    change_in_store(suite.path, "machine", '"host": "', '"host": "other-')
    done = once_run(*GATE, joules=30)

    assert 1 == done.ret
    done.stdout.fnmatch_lines(["test_uses *energy * J * J * +??* % * more * 1"])


def test_other_versions_are_told_and_compared_all_the_same(suite: pytest.Pytester, once_run: Run) -> None:
    change_in_store(suite.path, "packages", '"pytest-benchmark": "', '"pytest-benchmark": "0.')
    done = once_run(*GATE, joules=30)

    assert 1 == done.ret
    done.stdout.fnmatch_lines(["warning: other versions than in the last run: pytest-benchmark 0.* -> *"])


def test_meter_that_reads_otherwise_than_before_fails_nothing(suite: pytest.Pytester, once_run: Run) -> None:
    suite.makepyfile(gauge=GAUGE.replace('"counter"', '"estimated"'))
    done = once_run(*GATE, joules=30)

    assert 0 == done.ret
    done.stdout.fnmatch_lines(
        ["warning: not comparable: energy was read by gauge (counter), now by gauge (estimated)*"]
    )


def test_growth_in_a_run_that_was_killed_is_not_accepted(suite: pytest.Pytester, once_run: Run) -> None:
    suite.makepyfile(
        test_suite=f"{SUITE}\n\ndef test_killed():\n    if os.environ['JOULES'] == '30':\n        os._exit(9)\n"
    )
    once_run(*GATE, joules=30)
    assert [True, False] == [one.accepted for one in results(suite.path)]

    assert pytest.ExitCode.TESTS_FAILED == once_run(*GATE, joules=31).ret


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--harness-store", "gone/h.sqlite"], "ERROR: harness: cannot write store *there is no folder*"),
        (["--harness-store", "test_suite.py"], "ERROR: harness: store *file is not a database*"),
        (["--harness-compare-fail", "energy"], "ERROR: harness: --harness-compare-fail 'energy' is no limit; write *"),
        (["--harness-compare-fail", "energy:-5%"], "ERROR: harness: --harness-compare-fail 'energy:-5%' has no perc*"),
        (["--harness-compare-fail", "energy:5 GiB"], "ERROR: harness: --harness-compare-fail 'energy:5 GiB':*unit*"),
        (["--harness-compare-fail", "enrgy:5%"], "ERROR: harness: unknown resource 'enrgy'; did you mean 'energy'*"),
    ],
)
def test_wrong_options_are_one_line_before_the_first_test(run: Run, options: list[str], told: str) -> None:
    done = run(*options)

    assert pytest.ExitCode.USAGE_ERROR == done.ret
    done.stderr.fnmatch_lines([told])
    done.stdout.no_fnmatch_line("*Traceback*")
