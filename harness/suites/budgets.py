"""Tests marked with `@pytest.mark.harness(max=..., repeat=...)`: run as often as asked, metered, held to their limits.

What is metered is, for a test that uses `harness_meter` or `harness_trial`, what these read in one run of its body, or
in its fixtures where the body has none; for one that uses pytest-benchmark's `benchmark`, one call of the benchmarked
function; for any other its whole call. Fixtures are not set up anew for each run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeAlias

import pytest

from harness.measuring.block import open_meters
from harness.measuring.stack import MeterStack
from harness.measuring.window import Window
from harness.pytest_plugin import NOTE
from harness.records import Missing, Reading
from harness.suites.budget_check import check_limits
from harness.suites.budget_marker import Budget, read_budget
from harness.suites.budget_meters import check_known, meters_for
from harness.suites.failing import failing
from harness.suites.metered_fixture import attach
from harness.suites.metering import SuiteMeters
from harness.suites.per_call import PerCall
from harness.suites.settings import read_settings
from harness.suites.suite import hindrance
from harness.suites.taken import Taken, in_one_run, one_of, over_runs, taken_of

MARKER = "harness"
_BUDGET = pytest.StashKey[Budget]()

Meter: TypeAlias = Callable[..., AbstractContextManager[Window]]
Take: TypeAlias = Callable[[str], Reading | Missing]


class Budgets:
    """The part of the pytest plugin that is there only where a test has the marker."""

    def __init__(self, config: pytest.Config) -> None:
        self._settings = read_settings(config)
        # What the fixtures read since the setup of the test that runs, or since its last run began.
        self._stretches: list[Taken] = []
        self._noted: set[str] = set()

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Read the marker, so that a wrong one is told before the fixtures are set up."""
        self._stretches = []
        marks = list(item.iter_markers(MARKER))
        if not marks:
            return
        with failing(f"{item.nodeid}: @pytest.mark.harness: "):
            item.stash[_BUDGET] = budget = read_budget(marks)
            check_known(budget.limits)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Replace the call of a test that has a budget, inside of whatever other plugins put around it."""
        budget = item.stash.get(_BUDGET, None)
        if budget is None:
            return (yield)
        vars(item)["runtest"] = partial(self._run, item, budget, item.runtest)
        try:
            return (yield)
        finally:
            del vars(item)["runtest"]

    def record(self, taken: Taken) -> None:
        """Have *taken* count to the test that runs."""
        self._stretches.append(taken)

    def recording(self, meter: Meter) -> Meter:
        """Return *meter* so that its windows count to the test that runs."""

        @contextmanager
        def recorded(*meters: str, **options: Any) -> Iterator[Window]:
            window: Window | None = None
            try:
                with meter(*meters, **options) as window:
                    yield window
            finally:
                if window is not None:
                    self.record(taken_of(window))

        return recorded

    def _run(self, item: pytest.Item, budget: Budget, run: Callable[[], None]) -> None:
        fixture, times = _benchmark(item), budget.repeat or 1
        take: Take | None
        if fixture is not None:
            take = self._benchmarked(item, fixture, budget, run)
        elif not budget.limits:
            take = None
            _ran(item, times, run)
        elif {"harness_meter", "harness_trial"} & set(getattr(item, "fixturenames", ())):
            take = self._read(item, times, run)
        else:
            take = self._whole(item, budget, times, run)
        if take is not None:
            _hold(item, budget, take, "a call" if fixture is not None else "the test")

    def _read(self, item: pytest.Item, times: int, run: Callable[[], None]) -> Take | None:
        """Run the test and return what its own windows and trials took in one run."""
        before, runs = self._stretches, []
        for _ in range(times):
            self._stretches = []
            if not _ran(item, 1, run):
                return None
            runs.append(self._stretches or before)
        return lambda resource: over_runs([in_one_run(stretches, resource) for stretches in runs])

    def _whole(self, item: pytest.Item, budget: Budget, times: int, run: Callable[[], None]) -> Take | None:
        """Run the test in one window around all runs, whose error bar is narrower than those of each would be."""
        stack, names = self._open(item, budget)
        with stack.window(names, sharp=True) as window:
            done = _ran(item, times, run)
        taken = taken_of(window)
        return (lambda resource: one_of(in_one_run([taken], resource), times)) if done else None

    def _benchmarked(self, item: pytest.Item, fixture: Any, budget: Budget, run: Callable[[], None]) -> Take | None:
        """Run the test and return what one call of the benchmarked function took."""
        if budget.repeat is not None:
            pytest.fail("repeat is not for a benchmark, which repeats its calls by itself; leave it out", pytrace=False)
        hindered = hindrance(fixture)
        if getattr(fixture, "disabled", False):
            note(item, f"its budget was not held: {hindered}")
        elif budget.limits and not self._settings.meters and hindered is None:
            attach(fixture, self._call_meters(item, budget), partial(_keep, fixture))
        if not _ran(item, 1, run) or getattr(fixture, "disabled", False):
            return None
        taken = _kept(fixture, hindered or "its benchmark was not run")
        return lambda resource: in_one_run([taken(resource)], resource)

    def _call_meters(self, item: pytest.Item, budget: Budget) -> SuiteMeters:
        meters = SuiteMeters(self._open(item, budget)[1], self._settings.meter_options)
        meters.open()
        return meters

    def _open(self, item: pytest.Item, budget: Budget) -> tuple[MeterStack, list[str]]:
        """Return the suite's meters, else those that read what is limited, open. Fails the test where one cannot be."""
        options = self._settings.meter_options
        with failing("its budget cannot be held: "):
            if self._settings.meters:
                return open_meters(self._settings.meters, options)
            names, estimates = meters_for(budget.limits, options)
            for line in estimates:
                self._note_once(item, line)
            return open_meters(names, options)

    def _note_once(self, item: pytest.Item, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            note(item, line)


def _benchmark(item: pytest.Item) -> Any:
    """Return pytest-benchmark's fixture where the test uses it."""
    fixture = getattr(item, "funcargs", {}).get("benchmark")
    return fixture if type(fixture).__module__.startswith("pytest_benchmark.") else None


def _keep(fixture: Any, taken: PerCall) -> None:
    fixture.extra_info["harness"] = taken.document()


def _kept(fixture: Any, why_not: str) -> Callable[[str], Taken]:
    """Return what was kept of a call, here or by `harness.suites.suite` where that meters all benchmarks."""
    document = fixture.extra_info.get("harness")
    if document is None:
        return lambda resource: Taken(missing=[Missing(resource, why_not)])
    taken = Taken([Reading(**one) for one in document["readings"]], [Missing(**one) for one in document["missing"]])
    return lambda resource: taken


def _ran(item: pytest.Item, times: int, run: Callable[[], None]) -> bool:
    """Run the test; False where it failed or was skipped without raising, as unittest's do."""
    for _ in range(times):
        run()
        if getattr(item, "_excinfo", None):
            return False
    return True


def _hold(item: pytest.Item, budget: Budget, take: Take, of: str) -> None:
    """Fail the test where a limit is broken, and note those that the error bar leaves open."""
    runs = f", in the mean of {budget.repeat} runs," if (budget.repeat or 1) > 1 else ""
    verdict = check_limits(budget.limits, take, f"{of}{runs}")
    for line in verdict.undecided:
        note(item, line)
    if verdict.broken:
        pytest.fail("\n".join(verdict.broken), pytrace=False)


def note(item: pytest.Item, line: str) -> None:
    item.user_properties.append((NOTE, line))
