"""Benchmarks of a suite that knows nothing of the harness, metered: real pytest-benchmark, real and fake meters."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nvml as fake
import pytest
from suite_plugins import bring_plugin

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


def energies(pytester: pytest.Pytester, tmp_path: Path, *options: str) -> dict[str, dict[str, Any]]:
    """Run the suite with a fake card whose energy is known, and return what calls took."""
    environ = fake.environment(tmp_path, fake.card(name="Fake_H100"))
    command = [sys.executable, "-m", "pytest", *QUICK, "--harness-meter", "nvml", *options]
    done = subprocess.run(command, cwd=pytester.path, env=environ, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout
    return taken(pytester.path)


def test_energy_of_the_fake_card_comes_out_within_the_error_bars(suite: pytest.Pytester, tmp_path: Path) -> None:
    for name, one in energies(suite, tmp_path).items():
        energy = reading(one, "energy")
        edges = [(edge["start_monotonic_ns"] / 1e9, edge["stop_monotonic_ns"] / 1e9) for edge in one["windows"]]
        true = sum(fake.true_joules(*edge) for edge in edges) / one["calls"]
        assert true == pytest.approx(energy["value"], abs=energy["uncertainty"]), name
        assert "counter" == energy["source"]


def test_rounds_are_run_until_the_error_bar_is_under_five_per_cent(suite: pytest.Pytester, tmp_path: Path) -> None:
    found = energies(suite, tmp_path, "-k", "fast or slow")

    assert 3 == len(found)
    for one in found.values():
        energy = reading(one, "energy")
        assert energy["uncertainty"] < 0.05 * energy["value"]


def test_each_round_with_a_setup_has_a_window_of_its_own(suite: pytest.Pytester) -> None:
    suite.runpytest_subprocess(*QUICK, "--harness-meter", "time", "-k", "setup or pedantic").assert_outcomes(passed=2)

    found = taken(suite.path)
    assert 5 == len(found["test_setup"]["windows"])
    assert 1 == len(found["test_pedantic"]["windows"])
    lasted = sum(edge["stop_monotonic_ns"] - edge["start_monotonic_ns"] for edge in found["test_setup"]["windows"])
    assert lasted / 1e9 < found["test_setup"]["stats"]["total"] + 0.005, "setups, of 10 ms each, are not metered"


def test_disabled_benchmarks_are_run_once_and_not_metered(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess("--benchmark-disable", "--harness-meter", "time")

    done.assert_outcomes(passed=5)
    done.stdout.fnmatch_lines(["harness: no benchmark was metered: pytest-benchmark is switched off*"])
    done.stdout.no_fnmatch_line("*what one call takes*")


def test_xdist_is_said_to_switch_benchmarks_off(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess("-n", "1", "--harness-meter", "time", "-k", "fast", "-W", "ignore")

    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["harness: no benchmark was metered:*under pytest-xdist; run with -n 0"])


def test_profiled_benchmarks_are_said_not_to_be_metered(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess(
        *QUICK, "--benchmark-cprofile", "tottime", "--harness-meter", "time", "-k", "fast"
    )

    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["harness: no benchmark was metered: with --benchmark-cprofile*"])


LATE = """
from harness import Reading, hookimpl

works = False


class Late:
    def __init__(self, options): ...
    def unavailable(self): return None if works else "not yet"
    def open(self): ...
    def mark(self): return 0
    def between(self, start, stop): return [Reading("work", 1, "turns", 0, "counter")]
    def close(self): ...


@hookimpl
def harness_register_meters(register):
    register("late", Late, resources=("work",))
"""


def test_meters_that_work_here_are_settled_before_the_first_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_plugin(pytester, monkeypatch, "late", LATE)
    pytester.makepyfile(
        """
        import late
        def test_first(benchmark):
            benchmark.pedantic(sum, args=([1],), rounds=2)
            late.works = True
        def test_second(benchmark):
            benchmark.pedantic(sum, args=([1],), rounds=2)
        """
    )
    pytester.runpytest_subprocess("--harness-meter", "auto", "--benchmark-json=out.json").assert_outcomes(passed=2)

    meters = [{one["meter"] for one in benchmark["readings"]} for benchmark in taken(pytester.path).values()]
    assert meters[0] == meters[1]
    assert "time" in meters[0]


def test_failing_round_fails_its_test_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import time
        def test_breaks(benchmark):
            benchmark(lambda: 1 / 0)
        def test_breaks_in_a_round(benchmark):
            calls = iter(range(3))
            benchmark.pedantic(lambda: next(calls), rounds=9)
        def test_sleeps(benchmark):
            benchmark.pedantic(time.sleep, args=(0.001,), rounds=3)
        """
    )
    done = pytester.runpytest_subprocess("--harness-meter", "time", "--benchmark-json=out.json")

    done.assert_outcomes(passed=1, failed=2)
    done.stdout.fnmatch_lines(["*ZeroDivisionError*"])
    assert 3 == taken(pytester.path)["test_sleeps"]["calls"]


def test_benchmark_that_a_fixture_of_the_suite_asks_for_is_metered(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_late(request):
            benchmark = request.getfixturevalue("benchmark")
            benchmark.pedantic(sum, args=([1],), rounds=2)
        """
    )
    pytester.runpytest_subprocess("--harness-meter", "time", "--benchmark-json=out.json").assert_outcomes(passed=1)
    assert 2 == taken(pytester.path)["test_late"]["calls"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--harness-meter", "tima"], "ERROR: harness: unknown meter 'tima'; did you mean 'time'*"),
        (["--harness-meter", "time", "--harness-option", "DK"], "ERROR: --harness-option 'DK' is no NAME=VALUE*"),
        (["--harness-meter", "time", "--harness-option", "place=DK"], "ERROR: harness: unknown option*'place'*"),
        (["--harness-compare"], "ERROR: --harness-compare*add --harness-meter NAME*"),
    ],
)
def test_wrong_options_are_one_line_before_the_first_test(
    suite: pytest.Pytester, options: list[str], told: str
) -> None:
    done = suite.runpytest_subprocess(*options)

    assert pytest.ExitCode.USAGE_ERROR == done.ret
    done.stderr.fnmatch_lines([told])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_help_of_pytest_tells_of_every_option_and_ini_line(suite: pytest.Pytester) -> None:
    done = suite.runpytest_subprocess("--help")

    assert 0 == done.ret
    names = ("meter", "option", "store", "compare", "compare-fail")
    done.stdout.fnmatch_lines([f"  --harness-{name}*" for name in names])
    done.stdout.fnmatch_lines([f"  harness_{name.replace('-', '_')} (*" for name in names])
    assert 2 == done.stdout.str().count("'energy:5%'")


def test_ini_lines_of_the_same_names_do_as_the_options(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\nharness_meter = time memory\n")
    done = suite.runpytest_subprocess(*QUICK, "-k", "fast")

    done.stdout.fnmatch_lines(["Name*memory*time*Calls"])


def test_files_with_readings_are_compared_and_drawn_by_pytest_benchmark(suite: pytest.Pytester) -> None:
    for _ in range(2):
        suite.runpytest_subprocess(
            *QUICK, "--benchmark-autosave", "--harness-meter", "memory", "-k", "pedantic"
        ).assert_outcomes(passed=1)
    command = [sys.executable, "-m", "pytest_benchmark", "compare", "--csv=out.csv"]
    done = subprocess.run(command, cwd=suite.path, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr
    assert 3 == len((suite.path / "out.csv").read_text().splitlines())


def test_plugin_imports_nothing_until_it_is_used() -> None:
    code = "import sys, pytest; was = set(sys.modules); import harness.pytest_plugin; print(set(sys.modules) - was)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"harness", "harness.pytest_plugin"} == set(ast.literal_eval(done.stdout))
