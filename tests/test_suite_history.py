"""Suites that keep their results and set them beside earlier ones: real pytest-benchmark, a gauge of exact joules."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from attrs import evolve
from suite_plugins import GAUGE, bring_plugin

from harness.records import StudyRecord
from harness.store.benchmarks import BenchmarkStore, StoredBenchmark, read_benchmarks
from harness.store.reading import open_reader

SUITE = """
import os, time
import gauge

gauge.bar = 0.01


def use():
    gauge.total += float(os.environ.get("JOULES", "10"))
    time.sleep(0.02)


def test_uses(benchmark):
    benchmark.pedantic(use, rounds=5)
"""
STORE = ("--harness-store", "h.sqlite", "--harness-meter", "gauge")
Run = Callable[..., pytest.RunResult]
GATE = ("--harness-compare", "--harness-compare-fail", "energy:5%")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    bring_plugin(pytester, monkeypatch, "gauge", GAUGE)
    pytester.makepyfile(test_suite=SUITE)
    return pytester


@pytest.fixture
def run(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_with(*options: str, joules: float = 10) -> pytest.RunResult:
        monkeypatch.setenv("JOULES", str(joules))
        return suite.runpytest_subprocess("-p", "no:cacheprovider", *STORE, *options)

    return run_with


@pytest.fixture(scope="module")
def store_of_one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that one run with 10 J leaves."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "gauge.py").write_text(GAUGE)
    environ = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}", "HARNESS_PLUGINS": "gauge"}
    subprocess.run([sys.executable, "-m", "pytest", *STORE], cwd=folder, env=environ, check=True)
    return folder / "h.sqlite"


@pytest.fixture
def once_run(suite: pytest.Pytester, run: Run, store_of_one_run: Path) -> Run:
    """A suite that was run once, with 10 J."""
    shutil.copy(store_of_one_run, suite.path)
    return run


def results(folder: Path) -> list[StoredBenchmark]:
    with open_reader(folder / "h.sqlite") as reader:
        return read_benchmarks(reader)


def change_in_store(folder: Path, column: str, old: str, new: str) -> None:
    """Replace text in what the store says of the last run."""
    connection = sqlite3.connect(folder / "h.sqlite")
    with connection:
        last = "WHERE id = (SELECT max(id) FROM studies)"
        changed = connection.execute(f"UPDATE studies SET {column} = replace({column}, ?, ?) {last}", (old, new))
        assert changed.rowcount
    connection.close()


def test_results_are_kept_with_commit_machine_and_versions(suite: pytest.Pytester, run: Run) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "Begin")):
        subprocess.run([*git, *command], cwd=suite.path, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=suite.path, capture_output=True, text=True, check=True)
    assert 0 == run().ret

    (one,) = results(suite.path)
    assert ("test_suite.py::test_uses", 5) == (one.benchmark.test, one.benchmark.metered.calls)
    assert 50 == next(r.value for r in one.benchmark.metered.readings if r.resource == "energy_gpu")
    with open_reader(suite.path / "h.sqlite") as reader:
        (study,) = reader.studies()
    assert ("pytest", head.stdout.strip()) == (study["origin"], study["commit"])
    assert {"host", "processor", "nvidia_cards"} <= study["machine"].keys()
    assert {"pytest", "pytest-benchmark", "pepr-harness"} <= study["packages"].keys()
    assert ["gauge"] == study["settings"]["meters"]


@pytest.mark.parametrize(
    ("line", "options", "place"),
    [
        ("", ["--harness-compare"], "harness.sqlite"),
        ("harness_store = kept.sqlite", [], "kept.sqlite"),
        ("harness_store = kept.sqlite", ["--harness-store", "own.sqlite"], "sub/own.sqlite"),
        ("harness_store = kept.sqlite", ["--harness-store", "", "--harness-compare"], "harness.sqlite"),
    ],
)
def test_store_that_no_option_names_is_the_same_from_every_folder(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, line: str, options: list[str], place: str
) -> None:
    suite.makeini(f"[pytest]\n{line}")
    monkeypatch.chdir(suite.mkdir("sub"))
    suite.runpytest_subprocess("..", "--harness-meter", "gauge", *options)

    assert [suite.path / place] == list(suite.path.rglob("*.sqlite"))


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


def test_failed_test_is_not_what_later_runs_are_compared_with(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_suite=f"{SUITE}    assert os.environ['JOULES'] != '99'\n")
    run(joules=10)
    assert 1 == run(joules=99).ret

    assert 1 == len(results(suite.path))


def test_what_was_finished_outlives_a_kill(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_suite=f"{SUITE}\n\ndef test_killed(benchmark):\n    benchmark(lambda: os._exit(9))\n")
    run()

    assert ["test_suite.py::test_uses"] == [one.benchmark.test for one in results(suite.path)]


def test_growth_in_a_run_that_was_killed_is_not_accepted(suite: pytest.Pytester, once_run: Run) -> None:
    suite.makepyfile(
        test_suite=f"{SUITE}\n\ndef test_killed():\n    if os.environ['JOULES'] == '30':\n        os._exit(9)\n"
    )
    once_run(*GATE, joules=30)
    assert [True, False] == [one.accepted for one in results(suite.path)]

    assert pytest.ExitCode.TESTS_FAILED == once_run(*GATE, joules=31).ret


HOLDING = f"""{SUITE}
from pathlib import Path
from harness.store.store import Store


def test_holds():
    test_holds.store = Store.open(Path("h.sqlite"))


def test_uses_while_it_is_held(benchmark):
    benchmark.pedantic(use, rounds=5)


def test_lets_go():
    if os.environ["JOULES"] == "10":
        test_holds.store.close()
"""


def test_result_waits_while_another_writes_the_store(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_suite=HOLDING)
    assert 0 == run().ret

    assert 2 == len(results(suite.path))


def test_result_that_cannot_be_stored_is_told_and_fails_the_run(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_suite=HOLDING)
    done = run(joules=11)

    assert pytest.ExitCode.TESTS_FAILED == done.ret
    done.stdout.fnmatch_lines(["harness: 1 results were not stored: store *h.sqlite* is being written by process *"])


def test_store_that_is_damaged_during_the_run_is_told_with_what_was_lost(suite: pytest.Pytester, run: Run) -> None:
    damage = 'def test_damages():\n    open("h.sqlite", "w").write("junk" * 99)\n\n\n'
    suite.makepyfile(
        test_suite=f"{SUITE}\n\n{damage}{SUITE[SUITE.index('def test_uses') :].replace('test_uses', 'test_later')}"
    )
    done = run("--harness-compare")

    assert pytest.ExitCode.TESTS_FAILED == done.ret
    done.stdout.fnmatch_lines(["harness: 1 results were not stored: *not a database*"])


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


def test_store_without_a_meter_is_said_to_keep_nothing(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess("--harness-store", "h.sqlite")

    assert 0 == done.ret
    done.stdout.fnmatch_lines(["harness: no benchmark was metered: --harness-store keeps what meters read; add *"])
    assert not (suite.path / "h.sqlite").exists()


@pytest.mark.parametrize("options", [["-n", "2", "-W", "ignore"], ["--collect-only"]])
def test_where_nothing_is_metered_no_store_is_made(suite: pytest.Pytester, run: Run, options: list[str]) -> None:
    assert 0 == run("--harness-compare", *options).ret

    assert not (suite.path / "h.sqlite").exists()


def test_results_are_exported_per_call(suite: pytest.Pytester, once_run: Run) -> None:
    command = [sys.executable, "-m", "harness", "export", "h.sqlite", "--table", "benchmarks", "--format", "csv"]
    done = subprocess.run(command, cwd=suite.path, capture_output=True, text=True, check=True)

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    energy = next(row for row in rows if row["resource"] == "energy")
    assert ("test_suite.py::test_uses", "5", "J", "True") == tuple(
        energy[name] for name in ("test", "calls", "unit", "accepted")
    )
    assert 10 == pytest.approx(float(energy["value"]), rel=0.1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", energy["finished"])
