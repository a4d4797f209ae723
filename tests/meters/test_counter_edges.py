"""Placing an edge within a counter's step: by hand, and for thousands of windows in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import simulated

from harness.meters.counter_edges import Edge, Lead, Sample, Scale, Stretch, Trail, energy_between, place, tick_time
from harness.meters.power_sensor import Kind, PowerSensor

KNOWN = Scale((0.1, 0.1), "instantaneous", 0.0, 400)


def test_tick_lies_between_two_samples_and_their_doubts() -> None:
    assert (1.5, 0.5) == tick_time(Sample(1, 5, 1), Sample(2, 6, 1))
    assert (1.5, 1.0) == tick_time(Sample(1, 5, 1, doubt=0.5), Sample(2, 6, 1, doubt=0.5))


def test_stretch_adds_up_by_the_trapezoid_rule() -> None:
    stretch = Stretch(*[Sample(0, 0, 100)] * 2).plus(Sample(1, 0, 200)).plus(Sample(3, 0, 100))

    assert (150 + 300, 50 + 100, 200) == (stretch.area, stretch.rough, stretch.jumps)


def test_lead_goes_on_to_the_next_tick() -> None:
    lead = Lead(Sample(0.9, 0, 50), Stretch(*[Sample(1.0, 10, 60)] * 2), 50)
    later = lead.plus(Sample(1.5, 10, 60)).plus(Sample(2.0, 80, 60))

    assert (1.5, 2.0) == (later.before.time, later.since.first.time)
    assert later.watts == pytest.approx(70 / (1.75 - 0.95))


def test_edge_by_the_tick_before_it() -> None:
    lead = Lead(Sample(0.999, 90, 300), Stretch(*[Sample(1.001, 100, 300)] * 2), 300)
    at = Sample(1.021, 100, 300)
    placed = place(Edge(at, lead.plus(at)), KNOWN, 0)

    assert placed.joules == pytest.approx(100 + 300 * 0.021)
    assert placed.doubt == pytest.approx(0.001 * 300 + 0.05 * 6, abs=0.01)


def test_edge_by_the_tick_after_it() -> None:
    at = Sample(1.0, 100, 300)
    trail = Trail(Stretch(at, at))
    assert [False, True] == [trail.add(Sample(1.019, 100, 300)), trail.add(Sample(1.021, 130, 300))]
    placed = place(Edge(at, None, trail), KNOWN, 0)

    assert placed.joules == pytest.approx(130 - 300 * 0.02)
    assert placed.doubt == pytest.approx(0.001 * 300 + 0.05 * 5.7, abs=0.01)


def test_power_that_tells_nothing_of_now_is_shared_by_time_as_far_as_the_card_can_take_it() -> None:
    at = Sample(1.0, 100, 60)
    trail = Trail(Stretch(at, at), Sample(1.02, 130, 60, 0.0))
    placed = place(Edge(at, None, trail), Scale((0.1, 0.1), "averaged", 0.0, 400), 0)

    left = 0.01  # the tick lies half way between the samples
    assert placed.joules == pytest.approx(130 - 30 * left / 0.1)
    assert placed.doubt == pytest.approx(600 * (left + 0.01) - 3)


def test_without_dense_samples_the_bar_is_the_step() -> None:
    start, stop = Edge(Sample(1, 100, 100)), Edge(Sample(2, 200, 100))
    placed = energy_between(start, stop, Scale((0.02, 0.02)))

    assert 100 == pytest.approx(placed.joules)
    assert placed.doubt == pytest.approx(2 * 0.02 * 100, abs=0.01)


def test_step_that_was_never_seen_is_taken_for_the_longest_and_shifts_nothing() -> None:
    placed = energy_between(Edge(Sample(1, 100, 50)), Edge(Sample(2, 200, 200)), Scale())

    assert 100 == placed.joules
    assert placed.doubt >= 0.1 * 200


LOADS = [simulated.fake_load, simulated.training_load]
SENSORS = {
    "instantaneous": {},
    "averaged": {"averaged": True},
    "read each 100 ms": {"refresh": 0.1, "mean": 0.025},
    "read each 50 ms": {"refresh": 0.05, "mean": 0.025},
    "read each 20 ms": {"refresh": 0.02, "mean": 0.02},
}


@pytest.mark.parametrize("load", LOADS, ids=["fake", "training"])
@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("step", [0.02, 0.1])
@pytest.mark.parametrize("jitter", [0.0, 0.1])
@pytest.mark.parametrize("sharp", [True, False], ids=["sharp", "unsharp"])
def test_truth_is_inside_the_bar_of_99_in_100_windows(
    load: Callable[[float], float], sensor: str, step: float, jitter: float, sharp: bool
) -> None:
    for seconds in (0.213, 1.037):
        card = simulated.SimulatedCard(load, 7, step=step, jitter=jitter, **SENSORS[sensor])  # type: ignore[arg-type]
        assert 0.99 <= simulated.inside(simulated.windows(card, seconds, 200, sharp=sharp))


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("step", [0.02, 0.1])
def test_sharp_bar_is_under_3_percent_at_5_seconds(sensor: str, step: float) -> None:
    card = simulated.SimulatedCard(simulated.fake_load, 3, step=step, **SENSORS[sensor])  # type: ignore[arg-type]

    assert simulated.median_bar(simulated.windows(card, 5.053, 100)) < 0.03


def test_card_that_does_not_tell_its_limit_has_bars_that_hold() -> None:
    card = simulated.SimulatedCard(simulated.training_load, 9, averaged=True)
    card.limit_watts = None
    found = simulated.windows(card, 5.053, 100)

    assert 0.99 <= simulated.inside(found)
    assert simulated.median_bar(found) < 0.05


@pytest.mark.parametrize("seconds", [0.005, 0.05])
@pytest.mark.parametrize("sensor", SENSORS)
def test_windows_shorter_than_a_step_are_inside_their_bars(seconds: float, sensor: str) -> None:
    card = simulated.SimulatedCard(simulated.training_load, 13, **SENSORS[sensor])  # type: ignore[arg-type]

    assert 0.99 <= simulated.inside(simulated.windows(card, seconds, 200))


@pytest.mark.parametrize(("step", "most"), [(0.02, 0.003), (0.1, 0.01)])
def test_sharp_error_of_short_windows_is_that_of_the_samples(step: float, most: float) -> None:
    card = simulated.SimulatedCard(simulated.fake_load, 5, step=step)

    assert simulated.median_error(simulated.windows(card, 0.213, 200)) < most


@pytest.mark.parametrize("load", LOADS, ids=["fake", "training"])
@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("seconds", [0.03, 0.213, 5.053])
def test_sampled_power_is_inside_its_bar(load: Callable[[float], float], averaged: bool, seconds: float) -> None:
    card = simulated.SimulatedCard(load, 11, averaged=averaged)

    assert 0.99 <= simulated.inside(simulated.sampled_windows(card, seconds, 0.05, 200))


@pytest.mark.parametrize(
    ("every", "kind"), [(0.0005, "instantaneous"), (0.02, "averaged"), (0.1, "averaged"), (10.0, "unproven")]
)
def test_sensor_is_known_by_how_often_its_readings_change(every: float, kind: Kind) -> None:
    sensor = PowerSensor(averaged=False)
    for number in range(1000):
        sensor.observe(number * 0.0005, number * 0.0005 // every)

    assert kind == sensor.kind


def test_load_that_jumps_now_and_then_proves_nothing_of_the_sensor() -> None:
    sensor = PowerSensor(averaged=False)
    for number in range(4000):
        sensor.observe(number * 0.0005, 300.0 if number * 0.0005 % 0.7 < 0.4 else 60.0)

    assert "unproven" == sensor.kind


def test_what_lies_between_runs_of_samples_is_no_interval() -> None:
    sensor = PowerSensor(averaged=False)
    for number in range(10):
        sensor.observe(number * 0.3, float(number))

    assert sensor.refresh is None
