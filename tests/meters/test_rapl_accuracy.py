"""What the `rapl` meter says beside the truth: on counters moved by hand, and on counters that run."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from powercap import RANGE, FakeTree, joules
from zone_meters import Open, Plant, Recorder

from harness.meters.energy_counters import Domain
from harness.meters.rapl import ZoneMeter
from harness.records import Reading


@pytest.mark.parametrize("limits", [(), (95.0, 125.0)], ids=["no limit", "limits"])
def test_truth_is_inside_the_error_bar_at_any_phase(plant: Plant, opened: Open, limits: tuple[float, ...]) -> None:
    tree = plant(limits=limits, start_uj=RANGE - 10_000_000)
    meter = opened(sampler=Recorder())
    chance = random.Random(1)
    now = 0.0
    for _ in range(400):
        now += chance.uniform(0, 0.3)
        began = now
        tree.show(now)
        start = meter.mark()
        now += chance.choice((0.0003, 0.02, 0.213, 1.037, 5.053))
        tree.show(now)
        (cpu,) = (r for r in meter.between(start, meter.mark()) if r.resource == "energy_cpu" and r.device is None)

        assert isinstance(cpu, Reading)
        assert abs(cpu.value - (joules("package", now) - joules("package", began))) <= cpu.uncertainty


def test_error_bar_is_small_for_long_windows(plant: Plant, opened: Open) -> None:
    tree = plant()
    meter = opened()
    tree.show(0)
    start = meter.mark()
    tree.show(5.053)
    records = list(meter.between(start, meter.mark()))

    bars = {r.resource: r.uncertainty / r.value for r in records if isinstance(r, Reading) and r.device is None}
    assert bars["energy_cpu"] < 0.001
    assert bars["energy_dram"] < 0.01


def test_count_of_one_joule_is_in_the_error_bar() -> None:
    coarse = Domain("energy_psys", "psys", (2**32 - 1) * 1_000_000, 500.0)

    assert coarse.uncertainty(0, 0) == pytest.approx(0.5 + 1)


class Live:
    """Windows on a tree whose counters run, and whether the process behind them kept its step."""

    def __init__(self, tree: FakeTree, meter: ZoneMeter, began: float) -> None:
        self.tree, self.meter, self.began = tree, meter, began

    def edge(self) -> tuple[Any, float, float]:
        """Return a mark, when it was taken, and how much it may be off because the process or this one was late."""
        late, before = self.tree.late(), time.monotonic()
        mark = self.meter.mark()
        return mark, before - self.began, max(0.0, late - 1e-3) + time.monotonic() - before

    def window(self, seconds: float) -> tuple[Reading, float, bool]:
        """Return what the meter says of the package, the truth, and whether the tree was in step at both edges."""
        start, begin, first = self.edge()
        time.sleep(seconds)
        stop, end, last = self.edge()
        (cpu,) = (r for r in self.meter.between(start, stop) if r.resource == "energy_cpu" and r.device is None)
        assert isinstance(cpu, Reading)
        return cpu, joules("package", end) - joules("package", begin), first + last < 2e-4


def test_truth_is_inside_the_error_bar_while_the_counters_run(plant: Plant, opened: Open) -> None:
    tree = plant(start_uj=RANGE - 5_000_000)
    chance = random.Random(2)
    with tree.live() as began:
        live = Live(tree, opened(), began)
        windows = [live.window(chance.uniform(0.001, 0.05)) for _ in range(120)]

    in_step = [(reading, truth) for reading, truth, on_time in windows if on_time]
    inside = [abs(reading.value - truth) <= reading.uncertainty for reading, truth in in_step]
    assert len(in_step) >= 30
    assert sum(inside) >= 0.99 * len(inside)


def test_many_wraps_in_one_window_are_counted_by_the_sampler_itself(plant: Plant, opened: Open) -> None:
    tree = plant(range_uj=10_000_000)
    with tree.live() as began:
        reading, truth, _ = Live(tree, opened(), began).window(1.5)

    assert truth > 50
    assert abs(reading.value - truth) < 5  # half a wrap; how late the tree's process was does not matter here
