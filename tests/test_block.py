"""`harness.measure(...)` and `harness.measured(...)`: meters around a block and a function of one's own."""

from __future__ import annotations

import logging

import pytest

import harness
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
    if "cpu-estimate" not in block._default_registry().automatic_meters()[0]:
        pytest.skip("a counter of the processor's energy works here: nothing is estimated")
    with caplog.at_level(logging.WARNING, "harness.measuring.block"):
        for _ in range(2):
            with harness.measure(sharp=False):
                pass

    assert 1 == len([record for record in caplog.records if "energy_cpu is estimated" in record.message])
