"""Windows: sharp edges, what they cost, and how they stand beside each other."""

from __future__ import annotations

import threading

import pytest
from recording_meter import Recording, stacked

from harness.measuring.stack import MeterStack
from harness.measuring.window import overhead
from harness.meter import Readings, StackedMeter
from harness.records import Reading


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
