"""`harness.measure(...)` and `harness.measured(...)`: meters around a block and a function of one's own."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

import harness
from harness.errors import HarnessError
from harness.measuring import block
from harness.measuring.window import Window


def test_readings_are_there_when_the_block_raises() -> None:
    with pytest.raises(ZeroDivisionError), harness.measure("time", "memory", "cpu-estimate", sharp=False) as window:
        raise ZeroDivisionError

    assert {"time", "memory_host", "energy_cpu"} == {reading.resource for reading in window.readings}
    assert window["energy"].value == window["energy_cpu"].value


def test_laps_are_epochs() -> None:
    with harness.measure("time", sharp=False) as window:
        for _ in range(3):
            window.lap()

    laps = [reading for reading in window.readings if reading.epoch is not None]
    assert [1, 2, 3] == [reading.epoch for reading in laps]
    assert sum(reading.value for reading in laps) <= window["time"].value


def test_every_call_of_a_function_is_reported_also_one_that_raises() -> None:
    windows: list[Window] = []

    @harness.measured("time", report=windows.append, sharp=False)
    def divide(by: int) -> float:
        return 1 / by

    assert 0.5 == divide(2)
    with pytest.raises(ZeroDivisionError):
        divide(0)
    assert 2 == len(windows)
    assert all(window["time"].value > 0 for window in windows)


def test_estimate_is_said_aloud_once(caplog: pytest.LogCaptureFixture) -> None:
    block._warn_once.cache_clear()
    if "cpu-estimate" not in block.default_registry().automatic_meters()[0]:
        pytest.skip("a counter of the processor's energy works here: nothing is estimated")
    with caplog.at_level(logging.WARNING, "harness.measuring.block"):
        for _ in range(2):
            with harness.measure(sharp=False):
                pass

    assert 1 == len([record for record in caplog.records if "energy_cpu is estimated" in record.message])


async def _coroutine() -> None: ...


def _generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [_coroutine, _generator], ids=["coroutine", "generator"])
def test_function_whose_call_only_begins_its_work_is_refused(function: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="only begins its work"):
        harness.measured("time", report=print)(function)


def test_meter_is_opened_once_and_with_the_options_of_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "_meters", block.SharedMeters(block.default_registry))
    with harness.measure("cpu-estimate", cpu_watts=5):
        pass
    with harness.measure("cpu-estimate", cpu_watts=5, sharp=False), harness.measure("cpu-estimate"):
        pass

    refused = pytest.raises(HarnessError, match="is open in this process with cpu_watts 5, not 6")
    with refused, harness.measure("cpu-estimate", cpu_watts=6):
        pass


def test_unknown_option_is_told_with_the_nearest() -> None:
    refused = pytest.raises(HarnessError, match="unknown option of measure\\(\\) 'locaton'; did you mean 'location'")
    with refused, harness.measure("time", locaton="DK"):
        pass


def test_meter_that_an_option_was_given_for_in_vain_is_told(caplog: pytest.LogCaptureFixture) -> None:
    block._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, "harness.measuring.block"), harness.measure(location="nowhere"):
        pass

    assert "meter 'carbon' is left out: unknown location 'nowhere'" in caplog.text


def test_child_forked_while_a_thread_meters_ends_and_can_meter() -> None:
    program = (
        "import os, sys, threading, harness\n"
        "inside, end = threading.Event(), threading.Event()\n"
        "def work():\n"
        "    while not end.is_set():\n"
        "        with harness.measure('time', 'memory'): inside.set()\n"
        "thread = threading.Thread(target=work); thread.start(); inside.wait()\n"
        "for _ in range(20):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        with harness.measure('time') as m: pass\n"
        "        sys.exit(0 if m['time'].value >= 0 and sys.getswitchinterval() == 0.005 else 3)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "end.set(); thread.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
