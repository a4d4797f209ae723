"""The replay meter: what it reads is the integral of its trace, and it keeps the contract of meters."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.measuring.stack import MeterStack
from harness.meter import StackedMeter
from harness.records import Missing, Reading
from harness.testing import FakeClock, MeterContract, PowerTrace, ReplayMeter, record_trace

# 100 W, rising to 300 W within a second, and down again within two.
TENT = PowerTrace(seconds=(0, 1, 3), watts=(100, 300, 100))
LONG = PowerTrace.of((second, 100 + 50 * (second % 3)) for second in range(120))


class TestReplay(MeterContract):
    factory = staticmethod(lambda options: ReplayMeter(LONG))
    resources = ("energy_gpu",)


class TestReplayOfAnotherResourceAgainAndAgain(MeterContract):
    factory = staticmethod(lambda options: ReplayMeter(PowerTrace((0, 0.01), (50, 60)), "energy_cpu", repeat=True))
    resources = ("energy_cpu",)


@pytest.mark.parametrize(
    ("start", "stop", "joules"),
    [(0, 1, 200), (1, 3, 400), (0, 3, 600), (0, 0.5, 75), (2, 2.5, 87.5), (1, 1, 0), (0.5, 2, 125 + 250)],
)
def test_energy_is_the_area_under_straight_lines(start: float, stop: float, joules: float) -> None:
    assert joules == pytest.approx(TENT.energy(start, stop))


@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1000)), min_size=2, max_size=20),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_energies_of_neighbouring_stretches_add_up(
    steps: list[tuple[float, float]], first: float, second: float
) -> None:
    moments = itertools.accumulate(step for step, _ in steps)
    trace = PowerTrace.of(zip(moments, (watts for _, watts in steps), strict=True))
    start, stop = sorted((first * trace.duration, second * trace.duration))

    parts = trace.energy(0, start) + trace.energy(start, stop) + trace.energy(stop, trace.duration)
    assert trace.energy(0, trace.duration) == pytest.approx(parts, abs=1e-6)


def test_power_is_read_between_moments() -> None:
    assert [100, 200, 300, 200, 100] == [TENT.power(moment) for moment in (0, 0.5, 1, 2, 3)]


def test_window_reads_the_trace_from_the_moment_the_meter_was_opened() -> None:
    clock = FakeClock(50)
    meter = ReplayMeter(TENT, clock=clock)
    meter.open()
    clock.advance(1)
    start = meter.mark()
    clock.advance(2)

    (reading,) = meter.between(start, meter.mark())
    assert isinstance(reading, Reading)
    assert ("energy_gpu", 400, "J") == (reading.resource, pytest.approx(reading.value), reading.unit)


def test_trace_that_repeats_goes_on() -> None:
    clock = FakeClock()
    meter = ReplayMeter(TENT, clock=clock, repeat=True)
    meter.open()
    clock.advance(7)

    (reading,) = meter.between(0.0, meter.mark())
    assert isinstance(reading, Reading)
    assert 2 * 600 + 200 == pytest.approx(reading.value)


def test_window_beyond_the_trace_is_missing_with_the_reason() -> None:
    clock = FakeClock()
    meter = ReplayMeter(TENT, clock=clock)
    meter.open()
    clock.advance(3.5)

    (gap,) = meter.between(0.0, meter.mark())
    assert isinstance(gap, Missing)
    assert "the trace of 3 s ends before the window, at 3.5 s" in gap.reason


def test_stack_reads_laps_of_a_replayed_trace_exactly() -> None:
    clock = FakeClock()
    with MeterStack() as stack:
        stack.add([StackedMeter("replay", ReplayMeter(TENT, "energy_cpu", clock=clock), ("energy_cpu",))])
        with stack.window() as window:
            for _ in range(3):
                clock.advance(1)
                window.lap()

    laps = {r.epoch: r.value for r in window.readings if r.resource == "energy_cpu"}
    assert {None: 600, 1: 200, 2: 250, 3: 150} == pytest.approx(laps)


def test_trace_is_read_from_a_csv_whose_moments_need_not_begin_at_nought(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("watts,seconds,card\n100,1000.0,a\n300,1001.0,a\n100,1003.0,a\n")

    assert TENT == PowerTrace.read(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds,watts\n0,1\n", "needs two moments or more"),
        ("seconds,watts\n0,1\n0,2\n", "must rise, but 0 s follows 0 s"),
        ("seconds,watts\n0,1\nnan,2\n", "must rise, but nan s"),
        ("seconds,watts\n0,1\n1,-2\n", "finite and not negative, is -2 W"),
        ("seconds,watts\n0,1\n1,inf\n", "finite and not negative, is inf W"),
        ("seconds,watts\n0,1\n1,x\n", "needs columns seconds and watts"),
        ("seconds,watts\n0,1\n1\n", "needs columns seconds and watts"),
        ("seconds,power\n0,1\n1,2\n", "needs columns seconds and watts"),
        (None, "cannot read the trace"),
    ],
)
def test_file_that_is_no_trace_is_refused_in_one_line(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    if text is not None:
        file.write_text(text)

    with pytest.raises(HarnessError, match=message) as raised:
        PowerTrace.read(file)
    assert 1 == len(str(raised.value).splitlines())


def test_moment_outside_the_trace_has_no_power() -> None:
    for moment in (-0.1, 3.1, math.nan):
        with pytest.raises(ValueError, match="outside the trace"):
            TENT.power(moment)


def test_trace_of_a_meter_is_recorded_as_the_mean_power_of_each_period() -> None:
    clock = FakeClock(7)
    recorded = record_trace(ReplayMeter(TENT, clock=clock), "energy_gpu", 3, 0.5, clock=clock, sleep=clock.advance)

    assert [0, 0.5, 1, 1.5, 2, 2.5] == pytest.approx(recorded.seconds)
    assert [150, 250, 275, 225, 175, 125] == pytest.approx(recorded.watts)


def test_recorded_trace_is_written_and_read_again(tmp_path: Path) -> None:
    LONG.write(tmp_path / "trace.csv")

    assert LONG == PowerTrace.read(tmp_path / "trace.csv")


def test_trace_of_a_device_that_is_lost_is_refused_with_its_reason() -> None:
    clock = FakeClock()
    with pytest.raises(HarnessError, match="the trace of 3 s ends before the window"):
        record_trace(ReplayMeter(TENT, clock=clock), "energy_gpu", 5, 1, clock=clock, sleep=clock.advance)


def test_trace_of_less_than_two_periods_is_refused() -> None:
    with pytest.raises(HarnessError, match="two periods or more"):
        record_trace(ReplayMeter(TENT), "energy_gpu", 1, 0.6)
