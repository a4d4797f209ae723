"""Benchmarks of a suite that knows nothing of the harness, metered: real pytest-benchmark, real and fake meters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SUITE = """
import time

import pytest


def test_fast(benchmark):
    assert benchmark(sum, range(10)) == 45


@pytest.mark.benchmark(group="sleeping")
@pytest.mark.parametrize("seconds", [0.002, 0.004])
def test_slow(benchmark, seconds):
    benchmark.extra_info["mine"] = 1
    benchmark(time.sleep, seconds)


def test_pedantic(benchmark):
    benchmark.pedantic(time.sleep, args=(0.003,), rounds=4, iterations=2, warmup_rounds=3)


def test_setup(benchmark):
    def setup():
        time.sleep(0.01)
        return (0.002,), {}

    benchmark.pedantic(time.sleep, setup=setup, rounds=5)
"""
QUICK = ("--benchmark-max-time=0.1", "--benchmark-json=out.json")


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_suite=SUITE)
    return pytester


def taken(folder: Path) -> dict[str, dict[str, Any]]:
    """What one call of each benchmark took, as pytest-benchmark's JSON tells it."""
    found = json.loads((folder / "out.json").read_text())["benchmarks"]
    return {one["name"]: one["extra_info"]["harness"] | {"stats": one["stats"]} for one in found}


def reading(of: dict[str, Any], resource: str) -> dict[str, Any]:
    return next(one for one in of["readings"] if one["resource"] == resource and one["device"] is None)


def test_every_benchmark_is_metered_without_a_change_to_it(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess(*QUICK, "--harness-meter", "time", "--harness-meter", "memory")

    done.assert_outcomes(passed=5)
    done.stdout.fnmatch_lines(["*benchmark 'sleeping'*", "*Legend:*", "*harness: what one call takes*", "*Calls"])
    for benchmark in taken(suite.path).values():
        assert "harness.benchmark/1" == benchmark["schema"]
        assert reading(benchmark, "memory")["value"] > 2**20
        assert reading(benchmark, "time")["value"] == pytest.approx(benchmark["stats"]["mean"], rel=1e-3)


def test_calls_are_those_of_the_timed_rounds(suite: pytest.Pytester) -> None:
    suite.runpytest_subprocess(*QUICK, "--harness-meter", "time").assert_outcomes(passed=5)

    found = taken(suite.path)
    assert 8 == found["test_pedantic"]["calls"]
    assert 5 == found["test_setup"]["calls"]
    fast = found["test_fast"]
    assert fast["stats"]["rounds"] * fast["stats"]["iterations"] == fast["calls"]
