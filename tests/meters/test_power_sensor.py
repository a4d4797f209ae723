"""What readings of power are worth is learnt from how often they change, and from the counter beside them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import simulated

from harness.meters.power_sensor import Kind, PowerSensor


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


def test_reading_is_as_old_as_the_longest_of_the_fresh_intervals() -> None:
    sensor = PowerSensor(averaged=False)
    for number, time in enumerate([0, 0.5e-3, 1e-3, 1.8e-3, 2.3e-3, 2.8e-3, 7.5e-3]):
        sensor.observe(time, float(number))

    assert sensor.refresh == pytest.approx(1.3e-3)  # from the sample before one change to the one after the next


def test_sample_that_was_held_up_makes_no_interval_fresh() -> None:
    sensor = PowerSensor(averaged=False)
    for number in range(10):  # 4.5 ms without a sample, then two within 1 ms
        sensor.observe(number * 0.0055, 2.0 * number)
        sensor.observe(number * 0.0055 + 0.001, 2.0 * number + 1)

    assert "instantaneous" != sensor.kind


def test_readings_that_differ_in_every_one_of_few_samples_are_not_called_averages() -> None:
    sensor = PowerSensor(averaged=False)
    for number in range(100):
        sensor.observe(number * 0.004, float(number))

    assert "unproven" == sensor.kind


def test_samples_out_of_order_are_left_out() -> None:
    sensor = PowerSensor(averaged=False)
    for number in range(100):
        sensor.observe(number * 0.0006, float(number))
        sensor.observe(number * 0.0006 - 0.0001, float(-number))

    assert ("instantaneous", pytest.approx(0.0012)) == (sensor.kind, sensor.refresh)


@pytest.mark.parametrize(
    ("wrong", "right", "kind"), [(1, 9, "instantaneous"), (2, 9, "averaged"), (2, 200, "instantaneous")]
)
def test_counter_tells_a_rolling_mean_from_power_of_the_moment(wrong: int, right: int, kind: Kind) -> None:
    sensor = PowerSensor(averaged=False)
    for number in range(100):
        sensor.observe(number * 0.0006, float(number))
    for error in [2.0] * wrong + [0.5] * right:
        sensor.check(error, doubt=1.0)

    assert kind == sensor.kind


@pytest.mark.parametrize("load", [simulated.fake_load, simulated.training_load])
@pytest.mark.parametrize("step", [0.02, 0.1])
@pytest.mark.parametrize(("mean", "kind"), [(0.0, "instantaneous"), (0.025, "averaged"), (1.0, "averaged")])
def test_mean_that_moves_with_every_sample_is_found_out(
    load: Callable[[float], float], step: float, mean: float, kind: Kind
) -> None:
    card = simulated.SimulatedCard(load, 7, step=step, mean=mean)
    gauge = simulated.CounterGauge(card, clock=lambda: card.now)
    for _ in range(10):
        card.pass_time(card.draw(0, 1))
        simulated.settle(gauge, card)

    assert kind == gauge.sensor.kind
