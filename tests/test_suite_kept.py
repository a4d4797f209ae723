"""Suites that keep their results: what is kept, where, and what comes between."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from suite_runs import SUITE, Run, bring_suite, results, runner_of

from harness import environment
from harness.store.reading import open_reader
from harness.suites.kept import describe_run
from harness.suites.settings import SuiteSettings


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    return bring_suite(pytester, monkeypatch)


@pytest.fixture
def run(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner_of(suite, monkeypatch)


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


def test_failed_test_is_not_what_later_runs_are_compared_with(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_suite=f"{SUITE}    assert os.environ['JOULES'] != '99'\n")
    run(joules=10)
    assert 1 == run(joules=99).ret

    assert 1 == len(results(suite.path))


IN_FIXTURES = """

@pytest.fixture
def before(benchmark):
    benchmark.pedantic(use, rounds=2)


@pytest.fixture
def after(benchmark):
    yield
    benchmark.pedantic(use, rounds=3)


@pytest.fixture
def broken():
    yield
    raise ValueError


def test_before(before): ...
def test_after(after): ...
def test_broken(benchmark, broken): benchmark.pedantic(use, rounds=4)
def test_skipped(benchmark):
    benchmark.pedantic(use, rounds=5)
    pytest.skip("as a test does that finds nothing to do")
"""


def test_benchmark_in_a_fixture_is_kept_where_the_whole_test_passes(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_suite=f"import pytest\n{SUITE[: SUITE.index('def test_')]}{IN_FIXTURES}")
    run().assert_outcomes(passed=3, errors=1, skipped=1)

    kept = {one.benchmark.test.partition("::")[2]: one.benchmark.metered.calls for one in results(suite.path)}
    assert {"test_before": 2, "test_after": 3} == kept


def test_what_was_finished_outlives_a_kill(suite: pytest.Pytester, run: Run) -> None:
    suite.makepyfile(test_suite=f"{SUITE}\n\ndef test_killed(benchmark):\n    benchmark(lambda: os._exit(9))\n")
    run()

    assert ["test_suite.py::test_uses"] == [one.benchmark.test for one in results(suite.path)]


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


def test_store_without_a_meter_is_said_to_keep_nothing(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess("--harness-store", "h.sqlite")

    assert 0 == done.ret
    done.stdout.fnmatch_lines(["harness: no benchmark was metered: --harness-store keeps what meters read; add *"])
    assert not (suite.path / "h.sqlite").exists()


@pytest.mark.parametrize("options", [["-n", "2", "-W", "ignore"], ["--collect-only"], ["--fixtures"]])
def test_where_nothing_is_metered_no_store_is_made(suite: pytest.Pytester, run: Run, options: list[str]) -> None:
    assert 0 == run("--harness-compare", *options).ret

    assert not (suite.path / "h.sqlite").exists()


def test_results_are_exported_per_call(suite: pytest.Pytester, run: Run) -> None:
    run()
    command = [sys.executable, "-m", "harness", "export", "h.sqlite", "--table", "benchmarks", "--format", "csv"]
    done = subprocess.run(command, cwd=suite.path, capture_output=True, text=True, check=True)

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    energy = next(row for row in rows if row["resource"] == "energy")
    assert ("test_suite.py::test_uses", "5", "J", "True") == tuple(
        energy[name] for name in ("test", "calls", "unit", "accepted")
    )
    assert 10 == pytest.approx(float(energy["value"]), rel=0.1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", energy["finished"])


def test_run_without_pytest_benchmark_has_no_version_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "pytest-benchmark":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(environment, "version", version)
    monkeypatch.setattr(importlib.metadata, "version", version)

    packages = describe_run(SuiteSettings(), ["time"], tmp_path).packages
    assert "pytest" in packages
    assert "pytest-benchmark" not in packages
