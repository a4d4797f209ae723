"""The stack: order, guards, laps, the watchdog."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from recording_meter import Recording, stacked

from harness.measuring.stack import MeterStack
from harness.measuring.watchdog import Watchdog
from harness.meter import Readings, StackedMeter
from harness.meters.time import TimeMeter


def test_edges_go_from_energy_to_time_and_back() -> None:
    log: list[str] = []
    with MeterStack() as stack:
        stack.add([stacked("t", log, "time"), stacked("m", log, "memory_host"), stacked("e", log, "energy_cpu")])
        with stack.window():
            log.append("work")

    marks = [entry for entry in log if entry.endswith("mark") or entry == "work"]
    inward = ["energy_cpu.mark", "memory_host.mark", "time.mark"]
    assert [*inward, "work", *reversed(inward)] == marks


def test_meters_are_closed_in_reverse() -> None:
    log: list[str] = []
    with MeterStack() as stack:
        stack.add([stacked("a", log), stacked("b", log)])

    assert ["a.open", "b.open", "b.close", "a.close"] == log


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit("broken"), GeneratorExit("broken")], ids=repr)
@pytest.mark.parametrize("operation", ["open", "mark", "between"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_meter_that_raises_loses_only_its_own_reading(operation: str, place: int, error: BaseException) -> None:
    log: list[str] = []
    meters = [stacked(name, log) for name in ("a", "b")]
    meters.insert(place, stacked("bad", log, **{operation: error}))
    with MeterStack() as stack:
        stack.add(meters)
        with stack.window() as window:
            pass

    assert ["a", "b"] == [reading.resource for reading in window.readings]
    assert [("bad", f"{operation}() raised {type(error).__name__}: broken")] == [
        (gap.resource, gap.reason) for gap in window.missing
    ]


def test_meter_that_raises_at_close_does_not_stop_the_others_from_closing() -> None:
    log: list[str] = []
    with MeterStack() as stack:
        stack.add([stacked("a", log), stacked("bad", log, close=ValueError())])

    assert "a.close" in log


def test_ctrl_c_goes_through() -> None:
    with MeterStack() as stack:
        stack.add([stacked("bad", [], mark=KeyboardInterrupt())])
        with pytest.raises(KeyboardInterrupt):
            stack.edge("start")


def test_unavailable_meter_is_missing_with_its_reason() -> None:
    class Absent(Recording):
        def unavailable(self) -> str | None:
            return "not on this machine"

    with MeterStack() as stack:
        stack.add([StackedMeter("absent", Absent("r", []), ("r",))])
        with stack.window() as window:
            pass

    assert ["not on this machine"] == [gap.reason for gap in window.missing]


def test_meter_that_gives_something_else_is_missing_with_the_reason() -> None:
    class Odd(Recording):
        def between(self, start: int, stop: int, /) -> Any:
            return [3.0]

    with MeterStack() as stack:
        stack.add([StackedMeter("odd", Odd("r", []), ("r",))])
        with stack.window() as window:
            pass

    assert "3.0" in window.missing[0].reason


def test_laps_become_epochs() -> None:
    with MeterStack() as stack:
        stack.add([StackedMeter("time", TimeMeter(), ("time",))])
        with stack.window(phase="train") as window:
            window.lap()
            window.lap()

    assert [None, 1, 2] == [reading.epoch for reading in window.readings]
    assert {"train"} == {reading.phase for reading in window.readings}


def test_laps_lie_end_to_end_inside_the_window() -> None:
    with MeterStack() as stack:
        stack.add([StackedMeter("time", TimeMeter(), ("time",))])
        with stack.window() as window:
            window.lap()
            window.lap()

    whole, first, second = window.readings
    assert whole.start_ns == first.start_ns
    assert first.stop_ns == second.start_ns
    assert first.value + second.value <= whole.value


def test_window_of_chosen_meters_leaves_the_others_alone() -> None:
    log: list[str] = []
    with MeterStack() as stack:
        stack.add([stacked("a", log), stacked("b", log)])
        with stack.window(["b"]) as window:
            pass

    assert "a.mark" not in log
    assert ["b"] == [reading.resource for reading in window.readings]


def test_missing_resource_is_a_key_error_with_the_reason() -> None:
    with MeterStack() as stack:
        stack.add([stacked("bad", [], between=OSError("gone"))])
        with stack.window() as window:
            pass

    with pytest.raises(KeyError, match="gone"):
        window["bad"]


def test_two_totals_of_one_resource_are_the_meters_fault() -> None:
    class Twice(Recording):
        def between(self, start: int, stop: int, /) -> Readings:
            return [*super().between(start, stop), *super().between(start, stop)]

    with MeterStack() as stack:
        stack.add([StackedMeter("twice", Twice("r", []), ("r",))])
        with stack.window() as window:
            pass

    assert [] == window.readings
    assert "two totals of one resource" in window.missing[0].reason


def test_watchdog_names_a_call_that_hangs_once() -> None:
    told: list[str] = []
    heard = threading.Event()

    def on_hang(what: str, seconds: float) -> None:
        told.append(what)
        heard.set()

    dog = Watchdog(on_hang, period=0.02)
    dog.open()
    dog.begin("meter 'slow' in mark()", limit=0.02)
    assert heard.wait(timeout=30)
    threading.Event().wait(0.1)
    dog.end()
    dog.close()

    assert ["meter 'slow' in mark()"] == told


def test_watchdog_says_nothing_of_short_calls_and_of_slow_ones_within_their_limit() -> None:
    told: list[str] = []
    dog = Watchdog(lambda what, seconds: told.append(what), period=0.01)
    dog.open()
    for _ in range(100):
        dog.begin("short", limit=30)
        dog.end()
    dog.begin("slow", limit=60)
    threading.Event().wait(0.1)
    dog.end()
    dog.close()

    assert [] == told


def test_watchdog_watches_again_after_it_fell_asleep() -> None:
    heard = threading.Event()
    dog = Watchdog(lambda what, seconds: heard.set(), period=0.01)
    dog.open()
    dog.begin("short", limit=30)
    dog.end()
    threading.Event().wait(0.1)

    dog.begin("long", limit=0.01)
    assert heard.wait(timeout=30)
    dog.close()
