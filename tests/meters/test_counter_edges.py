"""Placing an edge within a counter's step: by hand, and for thousands of windows in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import simulated

from harness.meters.counter_edges import (
    LONGEST_STEP,
    Edge,
    Lead,
    Placed,
    Sample,
    Scale,
    Stretch,
    Trail,
    energy_between,
    place,
    standstill,
    tick_time,
)
from harness.meters.power_sensor import Kind

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
    at = Sample(1.003, 100, 300)
    placed = place(Edge(at, lead.plus(at)), KNOWN, 0)

    assert placed.joules == pytest.approx(100 + 300 * 0.003)
    assert placed.doubt == pytest.approx(0.001 * 300 + 0.05 * 300 * 0.002)


def test_edge_by_the_tick_after_it() -> None:
    at = Sample(1.0, 100, 300)
    trail = Trail(Stretch(at, at))
    assert [False, True] == [trail.add(Sample(1.002, 100, 300)), trail.add(Sample(1.004, 130, 300))]
    placed = place(Edge(at, None, trail), KNOWN, 0)

    assert placed.joules == pytest.approx(130 - 300 * 0.003)
    assert placed.doubt == pytest.approx(0.001 * 300 + 0.05 * 300 * 0.002)


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
    assert placed.doubt == pytest.approx(2 * LONGEST_STEP * 100, abs=0.01)


def test_step_that_was_never_seen_is_taken_for_the_longest_and_shifts_nothing() -> None:
    placed = energy_between(Edge(Sample(1, 100, 50)), Edge(Sample(2, 200, 200)), Scale())

    assert 100 == placed.joules
    assert placed.doubt >= 0.1 * 200


def test_power_that_differs_across_a_tick_widens_the_bar_by_what_lies_between_its_samples() -> None:
    def doubt(before: float, first: float) -> float:
        lead = Lead(Sample(0.999, 90, before), Stretch(*[Sample(1.001, 100, first)] * 2), before)
        return place(Edge(Sample(1.001, 100, first), lead), KNOWN, 0).doubt

    assert doubt(300, 300) == pytest.approx(0.001 * 300)
    assert doubt(300, 60) == doubt(60, 300) == pytest.approx(0.001 * 300 + 0.001 * 240)


@pytest.mark.parametrize("power", ["averaged", "unproven"])
def test_step_longer_than_any_seen_leaves_all_of_the_tick_in_doubt(power: Kind) -> None:
    at = Sample(1.0, 100, 100)
    trail = Trail(Stretch(at, at), Sample(1.08, 130, 100))
    placed = place(Edge(at, None, trail), Scale((0.02, 0.022), power, 0.0, 400, 0.02), 0)

    assert placed.joules - placed.doubt <= 100
    assert placed.joules + placed.doubt >= 130


def test_edge_after_which_no_tick_came_may_lie_anywhere_in_so_long_a_step() -> None:
    at = Sample(1.0, 100, 300)
    trail = Trail(Stretch(at, at).plus(Sample(1.25, 100, 300)))

    assert Placed(100, 600 * 0.25) == place(Edge(at, None, trail), KNOWN, 0)
    assert 600 * LONGEST_STEP == place(Edge(at, None, Trail(Stretch(at, at))), KNOWN, 0).doubt


@pytest.mark.parametrize(("seconds", "watts", "still"), [(0.25, 300, True), (0.23, 300, False), (0.25, 0, False)])
def test_counter_that_should_have_moved_stands_still(seconds: float, watts: float, still: bool) -> None:
    start, stop = Edge(Sample(1, 100, watts)), Edge(Sample(1 + seconds, 100, 0))

    assert still == (standstill(start, stop, KNOWN) is not None)


def test_counter_that_stops_before_the_window_ends_stands_still() -> None:
    at = Sample(11.0, 360, 300)
    trail = Trail(Stretch(at, at).plus(Sample(11.25, 360, 250)))

    reason = standstill(Edge(Sample(1, 100, 300)), Edge(at, None, trail), KNOWN)
    assert "the card's energy counter did not move for 0.25 s, although the card takes 300 W" == reason


def test_power_while_samples_were_held_up_may_be_anything() -> None:
    def doubt(gap: float) -> float:
        return Stretch(*[Sample(0, 0, 100)] * 2).plus(Sample(gap, 0, 100)).doubt(KNOWN)

    assert doubt(0.0025) == pytest.approx(5 * 0.0025)
    assert doubt(0.02) == pytest.approx(5 * 0.02 + (600 - 100) * 0.02)


@pytest.mark.parametrize("power", ["instantaneous", "unproven"])
def test_tick_seen_late_tells_no_more_than_the_card_can_take(power: Kind) -> None:
    at = Sample(1.0, 100, 100)
    trail = Trail(Stretch(at, at).plus(Sample(1.001, 100, 100)), Sample(1.021, 105, 100))
    placed = place(Edge(at, None, trail), Scale((0.02, 0.02), power, 0.0, 400, 0.02), 0)

    assert placed.joules - placed.doubt <= 100
    assert placed.joules + placed.doubt >= 105


def test_jump_of_power_in_the_gap_of_the_tick_after_an_edge_is_in_its_bar() -> None:
    at = Sample(1.0, 100, 0)
    trail = Trail(Stretch(at, at).plus(Sample(1.01, 100, 0)), Sample(1.0107, 100.245, 350))
    placed = place(Edge(at, None, trail), KNOWN, 0)

    assert abs(placed.joules - 100) <= placed.doubt


LOADS = [simulated.fake_load, simulated.training_load, simulated.broken_load]
SENSORS = {
    "instantaneous": {},
    "averaged": {"averaged": True},
    "read each 100 ms": {"refresh": 0.1, "mean": 0.025},
    "read each 50 ms": {"refresh": 0.05, "mean": 0.025},
    "read each 20 ms": {"refresh": 0.02, "mean": 0.02},
}


@pytest.mark.parametrize("load", LOADS, ids=["fake", "training", "broken"])
@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("step", [0.02, 0.1])
@pytest.mark.parametrize("jitter", [0.0, 0.4])
@pytest.mark.parametrize("sharp", [True, False], ids=["sharp", "unsharp"])
def test_truth_is_inside_the_bar_of_99_in_100_windows(
    load: Callable[[float], float], sensor: str, step: float, jitter: float, sharp: bool
) -> None:
    for seconds in (0.213, 1.037):
        card = simulated.SimulatedCard(load, 7, step=step, jitter=jitter, **SENSORS[sensor])  # type: ignore[arg-type]
        assert 0.99 <= simulated.inside(simulated.windows(card, seconds, 200, sharp=sharp))


TICKS = {
    "one in twenty is long": {"step": 0.02, "longer": 0.1},
    "any from 20 to 100 ms": {"step": 0.06, "jitter": 0.66},
}


@pytest.mark.parametrize("load", LOADS, ids=["fake", "training", "broken"])
@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("ticks", TICKS)
@pytest.mark.parametrize("seconds", [0.213, 1.037])
def test_truth_is_inside_the_bar_though_ticks_are_not_regular(
    load: Callable[[float], float], sensor: str, ticks: str, seconds: float
) -> None:
    for seed in (7, 8):
        card = simulated.SimulatedCard(load, seed, **TICKS[ticks], **SENSORS[sensor])  # type: ignore[arg-type]
        assert 0.99 <= simulated.inside(simulated.windows(card, seconds, 200))


@pytest.mark.parametrize("load", [*LOADS, simulated.bursts], ids=["fake", "training", "broken", "bursts"])
@pytest.mark.parametrize("sensor", ["instantaneous", "averaged"])
@pytest.mark.parametrize("step", [0.02, 0.1])
@pytest.mark.parametrize("held_up", [0.01, 0.05])
def test_truth_is_inside_the_bar_though_samples_are_held_up(
    load: Callable[[float], float], sensor: str, step: float, held_up: float
) -> None:
    card = simulated.SimulatedCard(load, 4, step=step, held_up=held_up, **SENSORS[sensor])  # type: ignore[arg-type]

    assert 0.99 <= simulated.inside(simulated.windows(card, 0.3, 200))


@pytest.mark.parametrize("step", [0.02, 0.1])
def test_sensor_that_is_read_each_time_is_known_for_it_though_samples_are_held_up(step: float) -> None:
    card = simulated.SimulatedCard(simulated.bursts, 4, step=step, held_up=0.05)
    gauge = simulated.CounterGauge(card, clock=lambda: card.now)
    for _ in range(100):
        card.pass_time(card.draw(0, 1))
        simulated.settle(gauge, card)

    assert "instantaneous" == gauge.sensor.kind


def test_edges_that_are_not_sharp_hold_after_sharp_ones_have_learnt_the_step() -> None:
    card = simulated.SimulatedCard(simulated.training_load, 7, step=0.02, longer=0.1)
    gauge = simulated.CounterGauge(card, clock=lambda: card.now)
    for _ in range(15):
        simulated.settle(gauge, card)

    assert 0.99 <= simulated.inside(simulated.windows(card, 0.213, 200, sharp=False, gauge=gauge))


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


@pytest.mark.parametrize("load", [*LOADS, simulated.bursts], ids=["fake", "training", "broken", "bursts"])
@pytest.mark.parametrize("sensor", ["instantaneous", "averaged", "read each 100 ms"])
@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.213, 5.053])
def test_sampled_power_is_inside_its_bar(load: Callable[[float], float], sensor: str, seconds: float) -> None:
    found = []
    for seed in range(4):
        card = simulated.SimulatedCard(load, seed, **SENSORS[sensor])  # type: ignore[arg-type]
        found += simulated.sampled_windows(card, seconds, 0.05, 50)

    assert 0.99 <= simulated.inside(found)
