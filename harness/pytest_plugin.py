"""The pytest plugin. Nothing of the harness is imported until a suite uses it: `harness.suites` does the work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

if TYPE_CHECKING:
    from harness.measuring.window import Window
    from harness.suites.budgets import Budgets
    from harness.suites.trial_result import TrialResult

# name of the option and of the ini line -> type of the ini line, what it does
_OPTIONS: dict[str, tuple[Literal["args", "bool", "string"], str]] = {
    "harness_meter": ("args", "Meter what benchmarks take with this meter, or with all that work here: 'auto'."),
    "harness_option": ("args", "Tell meters this, as NAME=VALUE, such as location=DK (carbon) or cpu_watts=15."),
    "harness_store": ("string", "Keep results in this file, with commit, machine and versions."),
    "harness_compare": ("bool", "Set results beside those of the last run on this machine in the store."),
    "harness_compare_fail": ("args", "Fail where one got worse by more than this, such as 'energy:5%'."),
}

_METAVARS = {"harness_option": "NAME=VALUE", "harness_store": "FILE", "harness_compare_fail": "RESOURCE:LIMIT"}

# The name of a report's property that the last lines show.
NOTE = "harness"
_MARKER = 'harness(max={"memory": "1GiB"}, repeat=5): fail the test where it takes more than this, metered over 5 runs'


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the ini lines of the same names."""
    group = parser.getgroup("harness", "what benchmarks take (harness)")
    for name, (kind, told) in _OPTIONS.items():
        option = f"--{name.replace('_', '-')}"
        parser.addini(name, told, type=kind)
        # What argparse, unlike pytest's own list of ini lines, takes for a place to fill in.
        told, metavar = told.replace("%", "%%"), _METAVARS.get(name, "NAME")
        if kind == "bool":
            group.addoption(option, action="store_true", default=None, help=told)
        elif kind == "args":
            group.addoption(option, action="append", default=None, metavar=metavar, help=f"{told} Repeatable.")
        else:
            group.addoption(option, default=None, metavar=metavar, help=told)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and, where there is something for it to do, the suite."""
    config.addinivalue_line("markers", _MARKER)
    if any(config.getoption(name) or config.getini(name) for name in _OPTIONS):
        from harness.suites.settings import read_settings
        from harness.suites.suite import Suite

        config.pluginmanager.register(Suite(config, read_settings(config)), "harness-suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Register what holds tests to their budgets, where one has the marker."""
    if any(item.get_closest_marker("harness") for item in items):
        from harness.suites.budgets import Budgets

        config.pluginmanager.register(Budgets(config), "harness-budgets")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what budgets noted in the reports of tests, which come from other processes too (pytest-xdist)."""
    told: dict[tuple[str, str], None] = {}
    for report in (report for group in terminalreporter.stats.values() for report in group):
        # A suite's own properties may be anything.
        notes = [note[1] for note in getattr(report, "user_properties", ()) if note[0] == NOTE]
        told |= dict.fromkeys((report.nodeid, line) for line in notes)
    for test, line in told:
        terminalreporter.write_line(f"harness: {test}: {line}")


@pytest.fixture
def harness_meter(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Window]]:
    """Meter a block: `with harness_meter("time", "memory") as m: ...`, then `m["memory"].value`.

    Without names, the meters are those of --harness-meter or, without that too, every one that works here.
    """
    from harness.measuring.block import measure

    chosen = request.config.getoption("harness_meter") or request.config.getini("harness_meter") or ()

    def meter(*meters: str, **options: Any) -> AbstractContextManager[Window]:
        return measure(*(meters or chosen), **options)

    budgets = request.config.pluginmanager.get_plugin("harness-budgets")
    return meter if budgets is None else cast("Budgets", budgets).recording(meter)


@pytest.fixture(scope="session")
def harness_trial(pytestconfig: pytest.Config) -> Callable[..., TrialResult]:
    """Run a full trial in a worker of its own: `harness_trial(model="resnet18d", dataset="digits", epochs=1)`.

    Returns what came out: `.performance`, `.metrics`, `.facts`, and `["energy"].value` of the training.
    """
    from harness.suites.trials import Trials

    trials = Trials(pytestconfig)
    pytestconfig.pluginmanager.register(trials, "harness-trials")
    return trials.run
