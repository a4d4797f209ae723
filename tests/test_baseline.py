"""Energy beyond the idle power: arithmetic by hand, error bars, and what is missing."""

from __future__ import annotations

import pytest

from harness.measuring.baseline import BASELINE, net_energies
from harness.records import Missing, Reading


def reading(value: float, seconds: float, phase: str = "train", uncertainty: float = 0.0, **about: object) -> Reading:
    named = {"resource": "energy_gpu", "unit": "J", "source": "counter", "meter": "nvml", "trial": "t"} | about
    stop = round(seconds * 1e9)
    return Reading(value=value, uncertainty=uncertainty, phase=phase, start_ns=0, stop_ns=stop, **named)  # type: ignore[arg-type]


def test_net_is_gross_less_idle_power_times_time() -> None:
    found, lost = net_energies([reading(300, 5, BASELINE), reading(1000, 10)], [])

    assert [] == lost
    assert [("energy_gpu_net", 1000 - 60 * 10, "train")] == [(r.resource, r.value, r.phase) for r in found]
    assert "less 60 W when idle" == found[0].note


def test_both_error_bars_go_into_the_net_one() -> None:
    found, _ = net_energies([reading(300, 5, BASELINE, uncertainty=2), reading(1000, 10, uncertainty=3)], [])

    assert 3 + 2 * 10 / 5 == found[0].uncertainty


def test_each_device_has_its_own_idle_power() -> None:
    idle = [reading(50, 5, BASELINE, device="a"), reading(100, 5, BASELINE, device="b"), reading(150, 5, BASELINE)]
    gross = [reading(100, 5, device="a"), reading(100, 5, device="b"), reading(200, 5)]
    found, _ = net_energies([*idle, *gross], [])

    assert {"a": 50, "b": 0, None: 50} == {r.device: r.value for r in found}


def test_without_a_baseline_there_is_no_net() -> None:
    assert ([], []) == net_energies([reading(1000, 10)], [Missing("energy_cpu", "gone", phase="train")])


def test_other_resources_have_no_net() -> None:
    time = reading(10, 10, resource="time", unit="s", meter="time")
    found, _ = net_energies([reading(300, 5, BASELINE), time, reading(5, 5, BASELINE, resource="time", unit="s")], [])

    assert [] == found


def test_baseline_that_could_not_be_read_is_the_reason() -> None:
    gap = Missing("energy_gpu", "GPU is lost", "nvml", "t", BASELINE)
    found, lost = net_energies([reading(1000, 10)], [gap])

    assert [] == found
    assert ["the idle power was not measured: GPU is lost"] == [missing.reason for missing in lost]
    assert ["energy_gpu_net"] == [missing.resource for missing in lost]


def test_window_that_could_not_be_read_has_no_net_either() -> None:
    gap = Missing("energy_gpu", "GPU is lost", "nvml", "t", "train")
    _, lost = net_energies([reading(300, 5, BASELINE)], [gap])

    assert [("energy_gpu_net", "GPU is lost", "train")] == [(m.resource, m.reason, m.phase) for m in lost]


def test_less_than_idle_within_the_bar_is_zero_with_a_bar_and_beyond_it_missing() -> None:
    base = reading(300, 5, BASELINE)
    found, _ = net_energies([base, reading(590, 10, uncertainty=30)], [])
    _, lost = net_energies([base, reading(500, 10, uncertainty=30)], [])

    assert (10, 10) == (found[0].value, found[0].uncertainty)
    assert "100 J less than the idle power" in lost[0].reason


@pytest.mark.parametrize("epoch", [None, 1])
def test_epochs_have_their_own(epoch: int | None) -> None:
    found, _ = net_energies([reading(300, 5, BASELINE), reading(1000, 10, epoch=epoch)], [])

    assert [epoch] == [r.epoch for r in found]
