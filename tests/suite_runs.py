"""A suite with a gauge of exact joules whose results are kept, and how to run it and read what it left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from suite_plugins import GAUGE, bring_plugin

from harness.store.benchmarks import StoredBenchmark, read_benchmarks
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


def bring_suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Write the suite and its plugin into the folder of *pytester*."""
    bring_plugin(pytester, monkeypatch, "gauge", GAUGE)
    pytester.makepyfile(test_suite=SUITE)
    return pytester


def runner_of(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs the *suite*, with more options and each call taking so many joules."""

    def run_with(*options: str, joules: float = 10) -> pytest.RunResult:
        monkeypatch.setenv("JOULES", str(joules))
        return suite.runpytest_subprocess("-p", "no:cacheprovider", *STORE, *options)

    return run_with


def results(folder: Path) -> list[StoredBenchmark]:
    with open_reader(folder / "h.sqlite") as reader:
        return read_benchmarks(reader)
