"""The stack: order, guards, laps, the watchdog."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from harness.measuring.stack import MeterStack
from harness.measuring.watchdog import Watchdog
from harness.measuring.window import overhead
from harness.meter import Readings, StackedMeter
from harness.meters.time import TimeMeter
from harness.records import Reading


class Recording:
    """A meter that writes down its calls, and raises or waits where a test says so."""

    def __init__(self, name: str, log: list[str], faults: dict[str, BaseException] | None = None) -> None:
        self.name, self.log, self.faults = name, log, faults or {}

    def _do(self, operation: str) -> None:
        self.log.append(f"{self.name}.{operation}")
        if operation in self.faults:
            raise self.faults[operation]

    def unavailable(self) -> str | None:
        return None

    def open(self) -> None:
        self._do("open")

    def mark(self) -> int:
        self._do("mark")
        return len(self.log)

    def between(self, start: int, stop: int, /) -> Readings:
        self._do("between")
        return [Reading(resource=self.name, value=stop - start, unit="1", uncertainty=0, source="counter")]

    def close(self) -> None:
        self._do("close")


def stacked(name: str, log: list[str], resource: str | None = None, **faults: BaseException) -> StackedMeter:
    return StackedMeter(name, Recording(resource or name, log, faults), (resource or name,))


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


class Sharp(Recording):
    """A meter that can place its edges better."""

    def settle(self) -> None:
        self._do("settle")

    def sharpen(self, mark: int, /) -> None:
        self._do("sharpen")


def sharp_stack(log: list[str], **faults: BaseException) -> MeterStack:
    stack = MeterStack()
    stack.add([StackedMeter("e", Sharp("energy_gpu", log, faults), ("energy_gpu",)), stacked("t", log, "time")])
    log.clear()
    return stack


def test_sharp_window_settles_before_its_first_edge_and_sharpens_each_after_all_are_marked() -> None:
    log: list[str] = []
    with sharp_stack(log) as stack, stack.window(sharp=True) as window:
        window.lap()
        log.append("work")

    first = ["energy_gpu.settle", "energy_gpu.mark", "time.mark", "energy_gpu.sharpen"]
    others = ["time.mark", "energy_gpu.mark", "energy_gpu.sharpen"]
    assert [*first, *others, "work", *others] == [
        entry for entry in log if "between" not in entry and "close" not in entry
    ]


def test_window_that_is_not_sharp_waits_for_nothing() -> None:
    log: list[str] = []
    with sharp_stack(log) as stack, stack.window():
        pass

    assert not {"energy_gpu.settle", "energy_gpu.sharpen"} & set(log)


def test_inner_window_does_not_settle_within_the_outer_one() -> None:
    log: list[str] = []
    with sharp_stack(log) as stack:
        with stack.window(sharp=True), stack.window(sharp=True):
            pass
        with stack.window(sharp=True):
            pass

    assert 2 == log.count("energy_gpu.settle")


@pytest.mark.parametrize("operation", ["settle", "sharpen"])
def test_meter_that_cannot_be_sharp_is_read_all_the_same(operation: str) -> None:
    with sharp_stack([], **{operation: OSError("busy")}) as stack, stack.window(sharp=True) as window:
        pass

    assert {"energy_gpu", "time"} == {reading.resource for reading in window.readings}


def test_facts_of_meters_are_told_by_name_and_one_that_raises_says_why() -> None:
    class Told(Recording):
        def facts(self) -> dict[str, int]:
            self._do("facts")
            return {"cards": 2}

    with MeterStack() as stack:
        stack.add([StackedMeter("a", Told("r", []), ("r",)), stacked("b", [])])
        stack.add([StackedMeter("bad", Told("s", [], {"facts": OSError("gone")}), ("s",))])

        assert {"a": {"cards": 2}, "bad": {"fault": "facts() raised OSError: gone"}} == stack.facts()


def test_cost_of_each_meters_marks_is_told() -> None:
    with MeterStack() as stack:
        stack.add([stacked("a", []), stacked("b", [])])
        with stack.window() as window:
            window.lap()

    assert {"a", "b"} == window.costs.keys()
    assert all(seconds > 0 for seconds in window.costs.values())
    assert {"seconds": window.costs["a"], "joules": None} == overhead(window)["a"]


def test_cost_in_joules_is_at_the_power_of_the_cpu() -> None:
    class Steady(Recording):
        def between(self, start: int, stop: int, /) -> Readings:
            return [Reading("energy_cpu", 10.0, "J", 0.0, "counter")]

    with MeterStack() as stack:
        stack.add([StackedMeter("cpu", Steady("energy_cpu", []), ("energy_cpu",))])
        with stack.window() as window:
            pass

    seconds = (window.edges_ns[1] - window.edges_ns[0]) / 1e9
    assert overhead(window)["cpu"]["joules"] == pytest.approx(window.costs["cpu"] * 10 / seconds)


def test_bar_of_energy_grows_with_the_time_that_its_mark_lies_beside_the_clock() -> None:
    class Exact(Recording):
        def between(self, start: int, stop: int, /) -> Readings:
            return [Reading(self.name, 10.0, "J", 0.0, "counter")]

    with MeterStack() as stack:
        stack.add([StackedMeter("e", Exact("energy_cpu", []), ("energy_cpu",)), stacked("t", [], "time")])
        with stack.window() as window:
            threading.Event().wait(0.01)

    assert 0 < window["energy_cpu"].uncertainty < 10


def test_reading_a_window_holds_up_no_edge_of_another() -> None:
    reading, release = threading.Event(), threading.Event()

    class Waits(Recording):
        def between(self, start: int, stop: int, /) -> Readings:
            reading.set()
            assert release.wait(30)
            return super().between(start, stop)

    with MeterStack() as stack:
        stack.add([StackedMeter("w", Waits("r", []), ("r",))])
        start, stop = stack.edge("start"), stack.edge("stop")
        reader = threading.Thread(target=stack.between, args=[start, stop])
        reader.start()
        assert reading.wait(30)
        stack.edge("start")
        release.set()
        reader.join()
