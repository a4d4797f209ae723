"""Every built-in meter keeps the contract, and the contract catches meters that do not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import nvml
import pytest
from powercap import FakeTree

from harness.meter import Readings
from harness.meters import pyrapl, rapl
from harness.meters.carbon import CarbonMeter
from harness.meters.cpu_estimate import CpuEstimateMeter
from harness.meters.memory import MemoryMeter
from harness.meters.memory_tree import MemoryTreeMeter
from harness.meters.nvml import NvmlMeter
from harness.meters.time import TimeMeter
from harness.plugins_loader import load_plugins
from harness.records import Missing, Reading
from harness.testing import MeterContract


class TestTime(MeterContract):
    factory = staticmethod(lambda options: TimeMeter())
    resources = ("time",)


class TestMemory(MeterContract):
    factory = staticmethod(lambda options: MemoryMeter())
    resources = ("memory_host", "memory_cuda", "memory_cuda_reserved")


class TestCarbon(MeterContract):
    factory = staticmethod(lambda options: CarbonMeter(options["location"], None, load_plugins().registry.intensity_at))
    resources = ("carbon_intensity",)
    options = {"location": "FR"}  # noqa: RUF012 (declared a ClassVar by the contract)


class TestCarbonGiven(MeterContract):
    factory = staticmethod(lambda options: CarbonMeter(None, 56, lambda location, when: None))
    resources = ("carbon_intensity",)


@pytest.fixture
def running_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    tree = FakeTree(tmp_path / "sys", sockets=2, psys=True, mmio=True)
    monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(tree.root))
    with tree.live():
        yield


@pytest.fixture
def cards(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    with nvml.loaded(tmp_path, nvml.card(**request.cls.about), nvml.card(nvml.SECOND, **request.cls.about)):
        yield


@pytest.mark.usefixtures("cards")
class TestNvmlCounter(MeterContract):
    about: ClassVar[dict[str, object]] = {"step_ms": 20}
    factory = staticmethod(NvmlMeter)
    resources = ("energy_gpu",)


@pytest.mark.usefixtures("cards")
class TestNvmlAveraged(TestNvmlCounter):
    about: ClassVar[dict[str, object]] = {"step_ms": 100, "instant": 0, "average": 1}


@pytest.mark.usefixtures("cards")
class TestNvmlSampled(TestNvmlCounter):
    about: ClassVar[dict[str, object]] = {"counter": 0}
    options = {"sample_period": 0.01}  # noqa: RUF012 (declared a ClassVar by the contract)


@pytest.mark.usefixtures("running_counters")
class TestRapl(MeterContract):
    factory = staticmethod(rapl.create)
    resources = ("energy_cpu", "energy_dram", "energy_psys")


@pytest.mark.usefixtures("running_counters")
class TestPyRapl(MeterContract):
    factory = staticmethod(pyrapl.create)
    resources = ("energy_cpu", "energy_dram")


class TestMemoryOfATree(MeterContract):
    """The tree here is that of the tests themselves."""

    factory = staticmethod(lambda options: MemoryTreeMeter(os.getpid(), find_cgroup=lambda pid: "polled"))
    resources = ("memory_host", "memory_cuda", "memory_cuda_reserved")


class TestCpuEstimate(MeterContract):
    factory = staticmethod(lambda options: CpuEstimateMeter())
    resources = ("energy_cpu",)


class TestCpuEstimateOfATree(MeterContract):
    factory = staticmethod(lambda options: CpuEstimateMeter(watts=10, pid=os.getpid()))
    resources = ("energy_cpu",)


class Ticking:
    """A meter that is right: it reads a clock."""

    def unavailable(self) -> str | None:
        return None

    def open(self) -> None:
        pass

    def mark(self) -> float:
        return time.perf_counter()

    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(stop - start)]

    def reading(self, value: float, **other: Any) -> Reading:
        about: dict[str, Any] = {"resource": "ticks", "unit": "s", "uncertainty": 1e-4, "source": "counter"}
        return Reading(value=value, **about | other)

    def close(self) -> None:
        pass


class SaysNothing(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(1.0, resource="other")]


class Silent(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return []


class CannotBeMarked(Ticking):
    def mark(self) -> float:
        raise OSError("no such device")


class RunsBackwards(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(start - stop)]


class Boundless(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(float("inf"))]


class WrongUnit(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(1.0, resource="energy_cpu", unit="mJ")]


class DevicesDoNotAddUp(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(1.0, device="a"), self.reading(2.0, device="b"), self.reading(4.0)]


class LapsDoNotAddUp(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading((stop - start) ** 2, uncertainty=0)]


class ForgetsMarks(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(time.perf_counter() - start)]


class InnerDestroysOuter(Ticking):
    """Begins anew at every mark, so that only the stretch before the last mark is left."""

    def __init__(self) -> None:
        self.last = 0.0

    def mark(self) -> float:
        now = time.perf_counter()
        self.last, stretch = now, now - self.last
        return stretch

    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(stop, uncertainty=0)]


class Wordless(Ticking):
    def unavailable(self) -> str | None:
        return " "


class GivesNoReason(Ticking):
    def between(self, start: float, stop: float, /) -> Readings:
        return [Missing("ticks", " ")]


class RemembersThreeMarks(Ticking):
    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> float:
        self.marks = [*self.marks, time.perf_counter()][-3:]
        return self.marks[-1]

    def between(self, start: float, stop: float, /) -> Readings:
        return [self.reading(stop - self.marks[self.marks.index(start)])]


class OpensOnce(Ticking):
    opened: ClassVar[list[bool]] = []

    def open(self) -> None:
        if self.opened:
            raise OSError("device is busy")
        self.opened.append(True)


def contract(meter: type[Ticking], resource: str = "ticks") -> MeterContract:
    class Under(MeterContract):
        factory = staticmethod(lambda options: meter())
        resources = (resource,)

    return Under()


@pytest.mark.parametrize(
    ("meter", "resource", "test"),
    [
        (SaysNothing, "ticks", "test_gives_a_total_or_a_reason_for_each_resource"),
        (Silent, "ticks", "test_no_call_raises_and_every_reading_is_in_order"),
        (CannotBeMarked, "ticks", "test_no_call_raises_and_every_reading_is_in_order"),
        (RunsBackwards, "ticks", "test_no_call_raises_and_every_reading_is_in_order"),
        (Boundless, "ticks", "test_no_call_raises_and_every_reading_is_in_order"),
        (WrongUnit, "energy_cpu", "test_units_are_those_of_the_resources"),
        (DevicesDoNotAddUp, "ticks", "test_devices_add_up_to_the_total"),
        (LapsDoNotAddUp, "ticks", "test_laps_combine_to_the_whole_within_the_error_bars"),
        (LapsDoNotAddUp, "ticks", "test_laps_of_a_sharp_window_combine_too"),
        (ForgetsMarks, "ticks", "test_marks_can_be_read_twice"),
        (InnerDestroysOuter, "ticks", "test_a_nested_window_does_not_change_the_one_around_it"),
        (Wordless, "ticks", "test_says_in_words_why_it_is_unavailable"),
        (GivesNoReason, "ticks", "test_reasons_are_words"),
        (RemembersThreeMarks, "ticks", "test_windows_may_overlap"),
        (SaysNothing, "ticks", "test_readings_survive_an_exception_in_the_block"),
        (OpensOnce, "ticks", "test_can_be_opened_again_after_it_was_closed"),
    ],
)
def test_contract_catches_a_wrong_meter(meter: type[Ticking], resource: str, test: str) -> None:
    getattr(contract(Ticking), test)()

    with pytest.raises(AssertionError):
        getattr(contract(meter, resource), test)()


def test_contract_skips_with_the_reason_where_a_meter_is_unavailable() -> None:
    class Absent(Ticking):
        def unavailable(self) -> str | None:
            return "no such device"

    with pytest.raises(pytest.skip.Exception, match="no such device"):
        contract(Absent).test_reasons_are_words()


def test_options_reach_the_factory() -> None:
    seen: list[Mapping[str, Any]] = []

    class Under(MeterContract):
        factory = staticmethod(lambda options: (seen.append(options), Ticking())[1])
        resources = ("ticks",)
        options = {"period": 1}  # noqa: RUF012 (declared a ClassVar by the contract)

    Under().test_reasons_are_words()
    assert [{"period": 1}] == seen
