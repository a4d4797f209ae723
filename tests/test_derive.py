"""Derived resources: what follows from the readings of one window, and what is missing with its cause."""

from __future__ import annotations

import pytest

from harness.measuring.derive import derive
from harness.records import Missing, Reading, Source

UNITS = {"carbon_intensity": "g/kWh"}


def reading(
    resource: str, value: float, uncertainty: float = 0, source: Source = "counter", device: str | None = None
) -> Reading:
    unit = UNITS.get(resource, "B" if resource.startswith("memory") else "J")
    return Reading(resource, value, unit, uncertainty, source, device, meter=f"meter of {resource}")


def values(*readings: Reading, missing: tuple[Missing, ...] = (), **options: object) -> dict[str, float]:
    return {r.resource: r.value for r in derive(readings, missing, **options)[0]}  # type: ignore[arg-type]


def test_energies_that_do_not_overlap_are_added_with_their_error_bars() -> None:
    found, _ = derive([reading("energy_gpu", 10, 1), reading("energy_cpu", 5, 2), reading("energy_dram", 1, 0.5)])

    assert ("energy", 16, "J", 3.5) == (found[0].resource, found[0].value, found[0].unit, found[0].uncertainty)


def test_the_package_holds_psys_no_second_time() -> None:
    assert {"energy": 5} == values(reading("energy_cpu", 5), reading("energy_psys", 50))


def test_energy_is_missing_where_a_part_that_was_asked_for_is() -> None:
    found, lost = derive([reading("energy_gpu", 10)], [Missing("energy_cpu", "not readable", "rapl")])

    assert [] == found
    told = [(gap.resource, gap.reason, gap.meter) for gap in lost]
    assert [("energy", "energy_cpu is missing: not readable", "rapl")] == told


def test_parts_of_devices_are_not_added_to_their_total() -> None:
    devices = [reading("energy_gpu", 4, device="a"), reading("energy_gpu", 6, device="b")]

    assert {"energy": 10} == values(*devices, reading("energy_gpu", 10))


def test_of_two_meters_of_one_resource_the_first_counts() -> None:
    assert {"energy": 5} == values(reading("energy_cpu", 5), reading("energy_cpu", 7))


@pytest.mark.parametrize(("kind", "expected"), [("cuda", 7), ("cpu", 3), (None, 7)])
def test_memory_is_that_of_the_device_the_trial_ran_on(kind: str | None, expected: float) -> None:
    both = (reading("memory_host", 3), reading("memory_cuda", 7))

    assert {"memory": expected} == values(*both, device_kind=kind)


def test_cuda_that_was_made_ready_but_not_used_is_no_memory_of_zero() -> None:
    assert {"memory": 3} == values(reading("memory_host", 3), reading("memory_cuda", 0))


def test_memory_of_a_cuda_trial_is_never_the_hosts() -> None:
    lost_cuda = Missing("memory_cuda", "the device was lost")
    found, lost = derive([reading("memory_host", 3)], [lost_cuda], device_kind="cuda")

    assert [] == found
    assert ["memory_cuda is missing: the device was lost"] == [gap.reason for gap in lost]


def test_carbon_is_energy_times_pue_times_intensity() -> None:
    found, _ = derive([reading("energy_cpu", 3.6e6, 3.6e5), reading("carbon_intensity", 100, 10)], pue=1.5)

    carbon = found[-1]
    assert ("carbon", "g", pytest.approx(150)) == (carbon.resource, carbon.unit, carbon.value)
    assert carbon.uncertainty == pytest.approx(1.1 * 1.1 * 150 - 150)


def test_carbon_is_missing_where_nobody_reads_energy() -> None:
    found, lost = derive([reading("carbon_intensity", 100)])

    assert [] == found
    assert [("carbon", "meter of carbon_intensity")] == [(gap.resource, gap.meter) for gap in lost]
    assert "no meter of energy" in lost[0].reason


def test_carbon_is_missing_without_its_intensity() -> None:
    _, lost = derive([reading("energy_cpu", 1)], [Missing("carbon_intensity", "no location given")])

    assert [("carbon", "carbon_intensity is missing: no location given")] == [(m.resource, m.reason) for m in lost]


def test_derived_reading_carries_the_worst_source_and_says_so() -> None:
    found, _ = derive([reading("energy_gpu", 1), reading("energy_cpu", 1, source="estimated")])

    assert "estimated" == found[0].source
    assert "derived from energy_gpu + energy_cpu" == found[0].note


def test_nothing_follows_from_nothing() -> None:
    assert ([], []) == derive([])
    assert {} == values(reading("time", 1))
