"""The part of the pytest plugin that keeps results of benchmarks and sets them beside those of earlier runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.records import Benchmark
from harness.store.reading import open_reader
from harness.suites.budget_meters import check_known
from harness.suites.change import Change, changes
from harness.suites.change_check import GateVerdict, check_changes
from harness.suites.change_limits import ChangeLimit, parse_limit
from harness.suites.change_table import write_changes
from harness.suites.earlier import read_results
from harness.suites.kept import PATIENCE, Kept, describe_run
from harness.suites.settings import SuiteSettings
from harness.tables import plain


class History:
    """Keeps what the benchmarks of one pytest run take, each as soon as its test has passed, and compares at the end.

    A test that failed says nothing that later runs should be compared with.
    """

    def __init__(self, kept: Kept, compare: bool, limits: list[ChangeLimit]) -> None:
        self._kept = kept
        self._compare = compare
        self._limits = limits
        # Of the test that runs: not stored before it has passed.
        self._pending: list[Benchmark] = []
        self._passed = False
        self._tests: set[str] = set()
        self._changes: list[Change] = []
        self._verdict = GateVerdict()
        self._new = 0
        self._unstored: str | None = None
        self._faults: list[str] = []

    def take(self, benchmark: Benchmark) -> None:
        """Have the result *benchmark* of the test that runs kept once the test has passed."""
        self._pending.append(benchmark)
        self._tests.add(benchmark.test)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store what the test and its fixtures left, when all of them have passed."""
        self._passed = report.passed and (report.when == "setup" or self._passed)
        if report.when != "teardown":
            return
        if self._passed:
            self._store(self._pending)
        self._pending = []

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare, before the terminal's last lines; what broke a limit fails the run, as a failed test does."""
        self._store([], PATIENCE)
        if self._compare:
            try:
                self._set_beside()
            except HarnessError as error:
                self._faults.append(f"nothing was compared: {error}")
        if session.exitstatus == pytest.ExitCode.OK and self._failures():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what was compared, after the tables of what was measured."""
        if self._changes:
            write_changes(terminalreporter, self._changes)
        if self._new:
            terminalreporter.write_line(f"harness: {self._new} benchmarks have no earlier result in {self._kept.path}")
        for note in (*self._kept.notes, *self._verdict.undecided):
            terminalreporter.write_line(plain(f"harness: {note}"))
        for line in self._failures():
            terminalreporter.write_line(plain(f"harness: {line}"), red=True)

    def _store(self, results: list[Benchmark], patience: float = 0.0) -> None:
        """Store *results*; what cannot be stored now is tried again with the next, and told at the end."""
        try:
            self._kept.add(results, patience)
            self._unstored = None
        except HarnessError as error:
            self._unstored = f"{len(self._kept.waiting)} results were not stored: {error}"

    def _set_beside(self) -> None:
        """Compare the results of this run with those of earlier ones."""
        if self._kept.number is None:
            return
        with open_reader(self._kept.path) as reader:
            results = read_results(reader, self._tests)
        # Of a test that ran twice, the last time counts.
        now = {one.test: one for one in results if one.stored.study == self._kept.number}
        self._changes = changes(list(now.values()), results)
        self._new = len(now.keys() - {change.result.test for change in self._changes})
        self._verdict = check_changes(list(now.values()), self._changes, self._limits)
        if self._limits:
            self._accept()

    def _accept(self) -> None:
        """Have later runs be compared with what broke no limit."""
        try:
            self._kept.accept({change.result.test for change, _ in self._verdict.broken})
        except HarnessError as error:
            self._faults.append(f"later runs will not be compared with this one: {error}")

    def _failures(self) -> list[str]:
        """A line for each thing that fails the run."""
        faults = [self._unstored] if self._unstored else []
        return [line for _, line in self._verdict.broken] + faults + self._faults


def open_history(settings: SuiteSettings, meters: Sequence[str], project: Path) -> History:
    """Return the history of a run of the suite in *project* with *meters*, its store made or checked.

    Raises HarnessError for a store that cannot be used, and for a limit that means none or is of an unknown resource.
    """
    assert settings.store is not None
    limits = [parse_limit(text) for text in settings.compare_fail]
    check_known(limit.resource for limit in limits)
    # What was not held to the limits, as the run was killed, must not be what later runs are held to.
    kept = Kept(settings.store, describe_run(settings, meters, project), accepted=not limits)
    kept.open()
    return History(kept, settings.compare, limits)
