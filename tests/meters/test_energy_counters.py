"""Counters that wrap around, on their own and read by the `rapl` meter from a fake powercap tree."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from powercap import RANGE
from zone_meters import Open, Plant, Recorder, reasons, values

from harness.measuring.sampler import Sampler
from harness.meters.energy_counters import Counter, Domain, Total
from harness.meters.rapl import create

ranges = st.integers(2, 2**33) | st.just(RANGE)


@given(data=st.data(), range_uj=ranges)
def test_wrap_around_is_exact_at_any_moment(data: st.DataObject, range_uj: int) -> None:
    first = data.draw(st.integers(0, range_uj - 1))
    steps = data.draw(st.lists(st.integers(0, range_uj // 2), min_size=1, max_size=30))
    truth = first
    counter = Counter(Domain("energy_cpu", "package-0", range_uj), lambda: truth % range_uj)

    start = counter.total()
    for step in steps:
        truth += step
        stop = counter.total()
    assert isinstance(start, Total)
    assert Total(start.microjoules + sum(steps), 0) == stop


def test_wrap_right_after_opening_is_seen(plant: Plant, opened: Open) -> None:
    tree = plant(start_uj=RANGE - 1)
    meter = opened()
    start = meter.mark()
    tree.set("intel-rapl:0", RANGE + 1)

    assert 2e-6 == values(meter, start, meter.mark())["energy_cpu", None]


@pytest.mark.parametrize("range_uj", [RANGE, 65_532_610_987, 1_000_000, 10])
def test_several_wraps_between_two_marks_are_exact_with_the_guard(plant: Plant, opened: Open, range_uj: int) -> None:
    tree = plant(range_uj=range_uj, start_uj=range_uj - 3)
    sampler = Recorder()
    meter = opened(sampler=sampler)
    start = meter.mark()
    used = 0
    for _ in range(9):
        used += range_uj // 2
        tree.set("intel-rapl:0", range_uj - 3 + used)
        sampler.jobs[0]()

    assert used / 1e6 == values(meter, start, meter.mark())["energy_cpu", None]


def test_guard_and_marks_from_different_threads_lose_nothing() -> None:
    range_uj, truth = 1000, 0
    counter = Counter(Domain("energy_cpu", "package-0", range_uj), lambda: truth % range_uj)
    start = counter.total()
    stopped = threading.Event()

    def guard() -> None:
        while not stopped.is_set():
            counter.keep_up()

    threads = [threading.Thread(target=guard) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3000):
        truth += 400
        counter.total()
    stopped.set()
    for thread in threads:
        thread.join()
    stop = counter.total()
    assert isinstance(start, Total)
    assert isinstance(stop, Total)
    assert 3000 * 400 == stop.microjoules - start.microjoules


@pytest.mark.parametrize(
    ("range_uj", "limits", "seconds"),
    [
        (RANGE, (), RANGE / 2e6 / 1000),
        (RANGE, (95.0, 125.0), RANGE / 2e6 / 1000),
        (RANGE, (2000.0,), RANGE / 2e6 / 2000),
    ],
    ids=["no limit", "limit that may be lifted", "high limit"],
)
def test_guard_reads_once_in_the_shortest_time_that_fills_half_the_range(
    plant: Plant, opened: Open, range_uj: int, limits: tuple[float, ...], seconds: float
) -> None:
    plant(range_uj=range_uj, limits=limits, dram=False)
    sampler = Recorder()
    opened(sampler=sampler)

    assert [pytest.approx(seconds)] == sampler.delays
    assert pytest.approx(seconds) == sampler.jobs[0]()


def test_nothing_runs_between_the_edges_of_a_short_window(plant: Plant, opened: Open) -> None:
    plant()
    sampler = Sampler()
    meter = opened(sampler=sampler)
    meter.mark()
    time.sleep(0.3)
    meter.mark()
    sampler.close()

    assert 0 == sampler.busy_seconds


def test_guard_ends_with_the_meter(plant: Plant) -> None:
    plant()
    sampler = Recorder()
    meter = create({"sampler": sampler})
    meter.open()
    meter.close()

    assert sampler.jobs[0]() is None


def test_meter_without_a_sampler_makes_its_own_and_ends_it(plant: Plant) -> None:
    plant()
    before = threading.active_count()
    meter = create({})
    meter.open()

    assert before + 1 == threading.active_count()
    meter.close()
    assert before == threading.active_count()


def test_guard_that_cannot_read_loses_windows_around_it(plant: Plant, opened: Open) -> None:
    tree = plant()
    sampler = Recorder()
    meter = opened(sampler=sampler)
    start = meter.mark()
    (tree.zones["intel-rapl:0:2"] / "energy_uj").write_text("")
    sampler.jobs[0]()
    tree.set("intel-rapl:0:2", 3_000_000)
    after, stop = meter.mark(), meter.mark()

    assert "may have wrapped" in reasons(meter, start, stop)["energy_dram"]
    assert {} == reasons(meter, after, stop)


def test_process_that_was_stopped_for_long_does_not_guess(
    plant: Plant, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant()
    meter = opened(sampler=Recorder())
    start = meter.mark()
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert "may have wrapped" in reasons(meter, start, meter.mark())["energy_cpu"]


def test_machine_that_slept_does_not_guess(plant: Plant, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    plant()
    meter = opened()
    start = meter.mark()
    now = time.clock_gettime_ns
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: now(clock) + 10**9)

    assert "suspended" in reasons(meter, start, meter.mark())["energy_cpu"]
