"""`@pytest.mark.harness(max=..., repeat=...)`: which budgets hold, what is metered for them, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nvml as fake
import pytest
from suite_plugins import GAUGE, bring_plugin


def run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_suite=f"import time, unittest\nimport gauge, pytest\n{code}")
    return pytester.runpytest_subprocess("--strict-markers", "-p", "no:cacheprovider", *options)


@pytest.fixture
def gauged(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    bring_plugin(pytester, monkeypatch, "gauge", GAUGE)
    return pytester


def test_limit_is_broken_only_where_the_error_bar_lies_wholly_beyond_it(gauged: pytest.Pytester) -> None:
    done = run(
        gauged,
        """
@pytest.mark.parametrize("joules", [3.5, 4.5, 5.5, 6.5])
@pytest.mark.harness(max={"energy_gpu": "5J"})
def test_uses(joules):
    gauge.total += joules
    time.sleep(0.05)
""",
    )

    done.assert_outcomes(passed=3, failed=1)
    done.stdout.fnmatch_lines(
        ["energy_gpu of the test was 6.5 J ± 1.* J (gauge, counter): over its limit of 5J"]
        + [f"harness: *uses?{value}?: undecided: *: its limit of 5J lies within the error bar" for value in (4.5, 5.5)]
    )
    done.stdout.no_fnmatch_line("*uses?3.5*undecided*")
    done.stdout.no_fnmatch_line("*Traceback*")


def test_one_window_around_all_runs_narrows_the_bar_of_their_mean(gauged: pytest.Pytester) -> None:
    done = run(
        gauged,
        """
@pytest.mark.harness(max={"energy_gpu": "5J"}, repeat=4)
def test_uses():
    gauge.total += 5.5
    time.sleep(0.03)
""",
    )

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["energy_gpu of the test, in the mean of 4 runs, was 5.5 J ± * mJ *"])


def test_own_windows_count_once_each_in_one_run_of_the_body(gauged: pytest.Pytester) -> None:
    done = run(
        gauged,
        """
@pytest.fixture
def prepared(harness_meter):
    with harness_meter("gauge"):
        gauge.total += 100

@pytest.mark.harness(max={"energy": 1, "time": "1h"}, repeat=2)
def test_uses(harness_meter, prepared):
    gauge.total += 50
    with harness_meter("gauge", "time"):
        with harness_meter("gauge"):
            gauge.total += 3
            time.sleep(0.05)
    with pytest.raises(ValueError), harness_meter("gauge"):
        gauge.total += 4
        time.sleep(0.05)
        raise ValueError
""",
    )

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["energy of the test, in the mean of 2 runs, was 7 J ± 2* J (gauge, counter; derived *"])


def test_budget_of_a_benchmark_is_of_one_call(gauged: pytest.Pytester) -> None:
    code = """
def call():
    gauge.total += 2
    time.sleep(0.01)

@pytest.mark.harness(max={"work": 1})
def test_over(benchmark):
    benchmark.pedantic(call, rounds=10)

@pytest.mark.harness(max={"work": 2})
def test_within(benchmark):
    benchmark.pedantic(call, rounds=10)

@pytest.mark.harness(max={"work": 2})
def test_not_run(benchmark):
    pass

@pytest.mark.harness(max={"work": 2}, repeat=3)
def test_repeated(benchmark):
    benchmark(call)
"""
    done = run(gauged, code, "-W", "ignore")
    metered = run(gauged, code, "-W", "ignore", "--harness-meter", "time")
    off = run(gauged, code, "-W", "ignore", "--benchmark-disable", "-k", "over or within")
    spread_out = run(gauged, code, "-W", "ignore", "-n", "1", "-k", "over or within")

    done.assert_outcomes(passed=1, failed=3)
    done.stdout.fnmatch_lines(["work of a call was * turns ± * turns (gauge, counter): over its limit of 1"])
    done.stdout.fnmatch_lines(["no reading of work to hold its limit of 2 to: its benchmark was not run"])
    done.stdout.fnmatch_lines(["repeat is not for a benchmark, which repeats its calls by itself; leave it out"])
    metered.assert_outcomes(failed=4)
    metered.stdout.fnmatch_lines(["no reading of work to hold its limit of 1 to: none of its meters reads it"])
    off.assert_outcomes(passed=2)
    off.stdout.fnmatch_lines(["harness: *test_within: its budget was not held: pytest-benchmark is switched off*"])
    spread_out.assert_outcomes(passed=2)
    spread_out.stdout.fnmatch_lines(["harness: *test_within: its budget was not held: *off under pytest-xdist*"])


def test_what_no_meter_here_reads_fails_in_one_line(gauged: pytest.Pytester) -> None:
    done = run(
        gauged,
        """
@pytest.mark.harness(max={"data": 5})
def test_data(): pass
""",
    )

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["its budget cannot be held: no meter here reads data"])


@pytest.mark.parametrize("options", [(), ("-p", "no:benchmark")], ids=["benchmark", "no-benchmark"])
def test_what_a_test_itself_does_goes_before_its_budget(gauged: pytest.Pytester, options: tuple[str, ...]) -> None:
    done = run(
        gauged,
        """
over = pytest.mark.harness(max={"time": 0}, repeat=3)
runs = []

@over
def test_fails():
    runs.append(1)
    assert len(runs) < 2
def test_first_failing_run_was_the_last():
    assert 2 == len(runs)
@over
@pytest.mark.xfail
def test_expected(): pass
@over
@pytest.mark.skip
def test_skipped(): pass
@over
def test_skips(): pytest.skip("why")
@over
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async(anyio_backend): pass

@over
class TestOld(unittest.TestCase):
    def test_case(self): runs.append(1)
    def test_case_again(self): assert 5 == len(runs)
    def test_case_skips(self): self.skipTest("why")
    def test_case_fails(self): self.assertEqual(1, len(self.id()))
""",
        *options,
    )

    done.assert_outcomes(passed=1, failed=5, skipped=3, xfailed=1)
    for test in ("test_async", "TestOld::test_case", "TestOld::test_case_again"):
        done.stdout.fnmatch_lines([f"FAILED *::{test}* - Failed: time of *"])
    done.stdout.fnmatch_lines_random(["E * assert 2 < 2", "E * AssertionError: 1 != *"])


def test_wrong_arguments_are_one_line_that_names_the_test(gauged: pytest.Pytester) -> None:
    wrong = {
        'max={"tim": 1}': "unknown resource 'tim'; did you mean 'time'?",
        'max={"time": "5J"}': "the limit of time: 'J' is no unit like 's'; use ms, s, m, min, h, d",
        'max={"time": None}': "the limit of time must be a quantity such as '5J' or a number, is None",
        'max="5J"': 'max must be limits by resource, such as {"memory": "1GiB"}, is \'5J\'',
        "repeat=0": "repeat must be a whole number from 1, is 0",
        "repeat=2.5": "repeat must be a whole number from 1, is 2.5",
        "most=1": "unknown argument 'most'; available: max, repeat",
        "5": '5 needs a name: max={"memory": "1GiB"} or repeat=5',
    }
    marked = [f"@pytest.mark.harness({text})\ndef test_{number}(): pass" for number, text in enumerate(wrong)]
    done = run(gauged, "\n".join(marked))

    done.assert_outcomes(errors=len(wrong))
    for number, line in enumerate(wrong.values()):
        assert f"test_suite.py::test_{number}: @pytest.mark.harness: {line}" in done.outlines
    assert "Traceback" not in done.stdout.str()


def test_closest_limit_of_a_resource_counts_beside_those_of_class_and_module(gauged: pytest.Pytester) -> None:
    done = run(
        gauged,
        """
pytestmark = pytest.mark.harness(max={"work": 1, "energy_gpu": 9}, repeat=2)

@pytest.mark.harness(max={"work": 5})
def test_uses():
    gauge.total += 30
    time.sleep(0.05)
""",
    )

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines_random(
        ["energy_gpu *2 runs*30 J*: over its limit of 9", "work *2 runs*30 turns*: over its limit of 5"]
    )


def test_notes_come_from_other_processes_too(gauged: pytest.Pytester) -> None:
    done = run(
        gauged,
        """
@pytest.mark.harness(max={"energy_gpu": 5})
def test_uses():
    gauge.total += 5
    time.sleep(0.05)
""",
        *("-n", "1", "-p", "no:benchmark"),
    )

    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["harness: *test_uses: undecided: energy_gpu of the test was 5 J ± 1* J *"])


def test_whole_test_is_held_to_the_joules_of_a_card(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(
        """
        import time
        import pytest

        @pytest.mark.harness(max={"memory": "16GiB", "time": "1min"})
        def test_of_other_resources():
            time.sleep(0.3)

        @pytest.mark.harness(max={"energy_gpu": "10J"})
        def test_over():
            time.sleep(0.3)

        @pytest.mark.harness(max={"energy_gpu": "500J"})
        def test_within():
            time.sleep(0.3)
        """
    )
    environ = fake.environment(tmp_path, fake.card(name="Fake_H100"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=pytester.path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "1 failed, 2 passed" in done.stdout
    assert "(nvml, counter): over its limit of 10J" in done.stdout
