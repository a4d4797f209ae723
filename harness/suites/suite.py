"""The part of the pytest plugin that is there only where a suite asked for meters."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError
from harness.records import Benchmark
from harness.suites.benchmark_table import BenchmarkRow, write_benchmarks
from harness.suites.metered_fixture import INNER, attach
from harness.suites.metering import SuiteMeters
from harness.suites.noise import spread_of
from harness.suites.per_call import PerCall
from harness.suites.settings import SuiteSettings

if TYPE_CHECKING:
    from harness.suites.history import History

# Options with which pytest runs no test.
_SHOWING = ("collectonly", "showfixtures", "show_fixtures_per_test")
UNDER_XDIST = "pytest-benchmark switches itself off under pytest-xdist; run with -n 0"


class Suite:
    """Meters the benchmarks of one pytest run and tells what they take."""

    def __init__(self, config: pytest.Config, settings: SuiteSettings) -> None:
        self._config = config
        self._settings = settings
        self._meters = SuiteMeters(settings.meters, settings.meter_options)
        self._history: History | None = None
        self._rows: list[BenchmarkRow] = []
        # Why nothing was metered where a benchmark ran; each is told once.
        self._notes: dict[str, None] = {}

    def pytest_sessionstart(self) -> None:
        """Open the meters and the store, so that one that does not work is told before the first test."""
        only_shown = any(self._config.getoption(name, False) for name in _SHOWING)
        if self._settings.meters and not only_shown:
            try:
                self._open()
            except HarnessError as error:
                raise pytest.UsageError(f"harness: {error}") from error

    def _open(self) -> None:
        names = self._meters.open()
        # Under pytest-xdist there is nothing to keep, and its workers would want the store at the same time.
        spread_out = self._config.getoption("dist", "no") != "no" or hasattr(self._config, "workerinput")
        if self._settings.store is not None and not spread_out:
            from harness.suites.history import open_history

            self._history = open_history(self._settings, names, self._config.rootpath)
            self._config.pluginmanager.register(self._history, "harness-history")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Take hold of each `benchmark` fixture, also where a test or a fixture of the suite's own asks for it."""
        fixture = yield
        if fixturedef.argname == "benchmark" and type(fixture).__module__.startswith("pytest_benchmark."):
            self._meter(fixture)
        return fixture

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table after pytest-benchmark's own."""
        if self._rows:
            write_benchmarks(terminalreporter, self._rows)
        if self._config.getoption("dist", "no") != "no":
            self._notes[UNDER_XDIST] = None
        for note in self._notes:
            terminalreporter.write_line(f"harness: no benchmark was metered: {note}")

    def _meter(self, fixture: Any) -> None:
        if not self._settings.meters:
            if self._settings.store is not None:
                self._notes["--harness-store keeps what meters read; add --harness-meter NAME"] = None
            return
        reason = hindrance(fixture)
        if reason is not None:
            self._notes[reason] = None
            return

        def done(taken: PerCall) -> None:
            fixture.extra_info["harness"] = taken.document()
            self._rows.append(BenchmarkRow(fixture.fullname, fixture.name, fixture.group, taken))
            if self._history is not None:
                spread = spread_of(fixture.stats.stats.data)
                self._history.take(Benchmark(fixture.fullname, taken.metered, spread))

        attach(fixture, self._meters, done)


def hindrance(fixture: Any) -> str | None:
    """Return why *fixture* cannot be metered, None where it can."""
    # What pytest-benchmark goes by itself, also in suites within the tests of a worker.
    if "PYTEST_XDIST_WORKER" in os.environ:
        return UNDER_XDIST
    if getattr(fixture, "disabled", False):
        return "pytest-benchmark is switched off (--benchmark-disable)"
    if getattr(fixture, "cprofile", False):
        return "with --benchmark-cprofile the calls after the rounds are the profiler's"
    if not all(hasattr(fixture, name) for name in INNER):
        import pytest_benchmark

        return f"pytest-benchmark {pytest_benchmark.__version__} is not one of 4.0 to 5.3, which harness knows"
    return None
