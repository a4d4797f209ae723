"""The time meter."""

from __future__ import annotations

from harness.meters.time import TimeMark, TimeMeter
from harness.records import Missing, Reading

SECOND = 1_000_000_000


def reading(start: TimeMark, stop: TimeMark) -> Reading:
    meter = TimeMeter()
    meter.open()
    (found,) = meter.between(start, stop)
    assert not isinstance(found, Missing)
    return found


def test_time_is_that_of_the_monotonic_clock() -> None:
    found = reading(TimeMark(5 * SECOND, 0), TimeMark(7 * SECOND, 2 * SECOND))

    assert (2.0, "s", None) == (found.value, found.unit, found.note)


def test_sleep_of_the_machine_is_noted_and_not_counted() -> None:
    found = reading(TimeMark(5 * SECOND, 5 * SECOND), TimeMark(7 * SECOND, 67 * SECOND))

    assert (2.0, "the machine was suspended for 60.0 s more") == (found.value, found.note)


def test_error_bar_is_the_cost_of_reading_the_clock() -> None:
    found = reading(TimeMark(0, 0), TimeMark(SECOND, SECOND))

    assert 0 < found.uncertainty < 1e-4
