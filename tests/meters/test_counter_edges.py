"""Placing an edge within a counter's step: simulated samples of a power that is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.meters.counter_edges import Edge, Placed, Sample, Scale, energy_between, place, tick_time, ticks

Power = Callable[[float], float]
STEP = 0.1


def steady(watts: float) -> tuple[Power, Power]:
    """Return power and energy of a load that never changes."""
    return lambda t: watts, lambda t: watts * t


def stepped(low: float, high: float, at: float) -> tuple[Power, Power]:
    """Return power and energy of a load that rises once."""
    return lambda t: high if t >= at else low, lambda t: low * t + (high - low) * max(0.0, t - at)


def sample(load: tuple[Power, Power], time: float) -> Sample:
    power, energy = load
    return Sample(time, energy(math.floor(time / STEP + 1e-9) * STEP), power(time))


def samples(load: tuple[Power, Power], start: float, stop: float, every: float = 0.001) -> list[Sample]:
    count = round((stop - start) / every)
    return [sample(load, start + number * every) for number in range(count)]


def edge(load: tuple[Power, Power], time: float, lead: float = 0.0, trail: float = 0.0) -> Edge:
    return Edge(sample(load, time), samples(load, time - lead, time), samples(load, time + 0.001, time + 0.001 + trail))


def off(placed: Placed, truth: float) -> float:
    return abs(placed.joules - truth)


def test_ticks_are_where_the_counter_changes() -> None:
    run = [Sample(0, 5, 1), Sample(1, 5, 1), Sample(2, 6, 1), Sample(3, 6, 1), Sample(4, 9, 1)]

    assert [2, 4] == ticks(run)
    assert (1.5, 0.5) == tick_time(run[1], run[2])


def test_doubt_of_the_samples_widens_the_tick() -> None:
    assert (1.5, 1.0) == tick_time(Sample(1, 5, 1, doubt=0.5), Sample(2, 6, 1, doubt=0.5))


@pytest.mark.parametrize("sides", [{"lead": 0.1}, {"trail": 0.1}], ids=["before", "after"])
@pytest.mark.parametrize("averaged", [False, True], ids=["instantaneous", "averaged"])
def test_steady_power_is_placed_to_the_width_of_the_tick(sides: dict[str, float], averaged: bool) -> None:
    load = steady(300)
    placed = place(edge(load, 7.0437, **sides), Scale(STEP, averaged, 400), 300)

    assert off(placed, 300 * 7.0437) <= 300 * 0.001
    assert off(placed, 300 * 7.0437) <= placed.doubt


@given(st.floats(7.001, 7.099), st.floats(6.9, 7.2), st.floats(10, 200), st.floats(0, 300), st.booleans())
def test_truth_lies_inside_the_bar_however_the_power_jumps(
    time: float, jump: float, low: float, rise: float, averaged: bool
) -> None:
    load = stepped(low, low + rise, at=jump)
    scale = Scale(STEP, averaged, 500)

    for sides in ({"trail": 0.11}, {}):
        placed = place(edge(load, time, **sides), scale, low + rise)
        assert off(placed, load[1](time)) <= placed.doubt + 1e-9


@given(st.floats(7.001, 7.099), st.floats(6.9, 7.2))
def test_instantaneous_power_places_a_jump_within_a_sample(time: float, jump: float) -> None:
    load = stepped(60, 300, at=jump)
    placed = place(edge(load, time, trail=0.11), Scale(STEP, False, 400), 180)

    assert off(placed, load[1](time)) <= (300 + 240) * 0.001


def test_sensor_that_is_read_seldom_has_a_wider_bar() -> None:
    load = stepped(60, 300, at=7.05)
    at = sample(load, 7.03)
    stale = [Sample(s.time, s.joules, 60.0) for s in samples(load, 7.031, 7.102)]

    placed = place(Edge(at, (), stale), Scale(STEP, False, 400), 180)
    assert off(placed, load[1](7.03)) > 5
    assert off(placed, load[1](7.03)) <= placed.doubt


def test_without_dense_samples_the_bar_is_the_step() -> None:
    start, stop = edge(steady(100), 1.05), edge(steady(100), 2.05)
    placed = energy_between(start, stop, Scale(STEP))

    assert 100 == pytest.approx(placed.joules)
    assert 100 * STEP == pytest.approx(placed.doubt, abs=0.01)


def test_step_that_was_never_seen_is_taken_for_the_longest_and_shifts_nothing() -> None:
    start, stop = edge(steady(50), 1.05), edge(steady(200), 2.05)
    placed = energy_between(start, stop, Scale())

    assert stop.at.joules - start.at.joules == placed.joules
    assert placed.doubt >= 0.1 * 200 / 2


def test_energy_is_never_negative() -> None:
    start, stop = edge(steady(300), 7.0437, trail=0.1), edge(steady(300), 7.0438, trail=0.1)

    assert 0 <= energy_between(start, stop, Scale(STEP)).joules


def test_readings_at_one_moment_are_one_edge() -> None:
    same = edge(steady(300), 7.0437, trail=0.1)

    assert 0 == energy_between(same, same, Scale(STEP)).joules


def doubts(edges: Sequence[Edge], scale: Scale) -> list[float]:
    return [place(each, scale, 300).doubt for each in edges]


def test_more_knowledge_has_a_narrower_bar() -> None:
    load = steady(300)
    edges = [edge(load, 7.08), edge(load, 7.08, trail=0.03), edge(load, 7.002, lead=0.01)]

    none, averaged = doubts(edges[:2], Scale(STEP, True, 400))
    after, before = doubts(edges[1:], Scale(STEP, False, 400))
    assert none > averaged > after > before
