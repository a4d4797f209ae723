"""What every meter keeps, as a class of tests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from harness.measuring.stack import MeterStack
from harness.measuring.window import EdgeKind, Window
from harness.meter import COMBINE, RESOURCE_UNITS, Meter, StackedMeter
from harness.records import Missing, Reading

_LAPS: tuple[EdgeKind, ...] = ("lap", "lap", "stop")


class MeterContract:
    """What every meter keeps. Set `factory` and `resources`; override `work` to use more of what is metered.

    A meter that is unavailable here passes by giving its reason; the tests of its readings are then skipped with it.
    """

    factory: ClassVar[Callable[[Mapping[str, Any]], Meter]]
    resources: ClassVar[tuple[str, ...]]
    options: ClassVar[Mapping[str, Any]] = {}

    def work(self) -> object:
        """Do something that takes some of the resource."""
        end = time.monotonic() + 0.02
        ballast = bytearray(1 << 20)
        while time.monotonic() < end:
            ballast[0] = (ballast[0] + 1) % 256
        return ballast

    def test_says_in_words_why_it_is_unavailable(self) -> None:
        reason = self._meter().unavailable()

        assert reason is None or (isinstance(reason, str) and reason.strip())

    def test_gives_a_total_or_a_reason_for_each_resource(self) -> None:
        window = self._window()

        said = _resources(window.readings, window.missing)
        assert set(self.resources) == said

    def test_no_call_raises_and_every_reading_is_in_order(self) -> None:
        """What a meter raises, values that are negative or infinite among it, reaches users as a missing reading."""
        reasons = [gap.reason for gap in self._window().missing]

        assert [] == [reason for reason in reasons if "() raised " in reason or "gave no total" in reason]

    def test_units_are_those_of_the_resources(self) -> None:
        readings = self._window().readings

        assert [] == [(r.resource, r.unit) for r in readings if r.unit != RESOURCE_UNITS.get(r.resource, r.unit)]

    def test_reasons_are_words(self) -> None:
        assert all(missing.reason.strip() for missing in self._window().missing)

    def test_devices_add_up_to_the_total(self) -> None:
        readings = self._window().readings

        for resource, total in _totals(readings).items():
            parts = [r for r in readings if r.resource == resource and r.device is not None]
            if parts and COMBINE.get(resource) != "mean":
                assert abs(total.value - sum(part.value for part in parts)) <= _margin(total, parts)

    def test_laps_combine_to_the_whole_within_the_error_bars(self) -> None:
        self._compare_laps(sharp=False)

    def test_laps_of_a_sharp_window_combine_too(self) -> None:
        self._compare_laps(sharp=True)

    def _compare_laps(self, sharp: bool) -> None:
        with self._stack() as stack:
            edges = [stack.edge("start", sharp=sharp)]
            for kind in _LAPS:
                self.work()
                edges.append(stack.edge(kind, sharp=sharp))
            laps = [_totals(stack.between(*pair)[0]) for pair in itertools.pairwise(edges)]
            whole = _totals(stack.between(edges[0], edges[-1])[0])

        for resource, total in whole.items():
            if all(resource in lap for lap in laps):
                assert _combine(total, [lap[resource] for lap in laps])

    def test_a_nested_window_does_not_change_the_one_around_it(self) -> None:
        with self._stack() as stack:
            with stack.window() as outer:
                self.work()
                with stack.window() as inner:
                    self.work()
                with stack.window():
                    pass

            whole, part = _totals(outer.readings), _totals(inner.readings)
        for resource in whole.keys() & part.keys():
            if COMBINE.get(resource) != "mean":
                margin = whole[resource].uncertainty + part[resource].uncertainty
                assert whole[resource].value + margin >= part[resource].value

    def test_windows_may_overlap(self) -> None:
        read_alone = _resources(self._window().readings, ())
        with self._stack() as stack:
            first = stack.edge("start")
            self.work()
            second = stack.edge("start")
            self.work()
            first_stop = stack.edge("stop")
            second_stop = stack.edge("stop")

            for start, stop in ((first, first_stop), (second, second_stop)):
                readings, missing = stack.between(start, stop)
                assert set(self.resources) == _resources(readings, missing)
                assert read_alone <= _resources(readings, ())

    def test_marks_can_be_read_twice(self) -> None:
        with self._stack() as stack:
            start = stack.edge("start")
            self.work()
            stop = stack.edge("stop")

            assert stack.between(start, stop) == stack.between(start, stop)

    def test_readings_survive_an_exception_in_the_block(self) -> None:
        with self._stack() as stack, pytest.raises(ZeroDivisionError), stack.window() as window:
            self.work()
            raise ZeroDivisionError

        assert set(self.resources) == _resources(window.readings, window.missing)

    def test_can_be_opened_again_after_it_was_closed(self) -> None:
        first, again = self._window(), self._window()

        assert set(self.resources) == _resources(again.readings, again.missing)
        assert _resources(first.readings, ()) <= _resources(again.readings, ())

    def _meter(self) -> Meter:
        return type(self).factory(self.options)

    @contextmanager
    def _stack(self) -> Iterator[MeterStack]:
        meter = self._meter()
        reason = meter.unavailable()
        if reason is not None:
            pytest.skip(f"the meter is unavailable here: {reason}")
        with MeterStack() as stack:
            stack.add([StackedMeter("under-test", meter, self.resources)])
            yield stack

    def _window(self) -> Window:
        with self._stack() as stack, stack.window() as window:
            self.work()
        return window


def _resources(readings: Iterable[Reading], missing: Iterable[Missing]) -> set[str]:
    return {reading.resource for reading in readings} | {gap.resource for gap in missing}


def _totals(readings: Iterable[Reading]) -> dict[str, Reading]:
    return {reading.resource: reading for reading in readings if reading.device is None}


def _margin(total: Reading, parts: Sequence[Reading]) -> float:
    """Return how far the sum of *parts* may be from *total* by their error bars and by rounding."""
    return total.uncertainty + sum(part.uncertainty for part in parts) + 1e-9 * total.value


def _combine(total: Reading, parts: Sequence[Reading]) -> bool:
    """Say whether *parts*, which follow each other without a gap, make *total*."""
    values = [part.value for part in parts]
    margin = _margin(total, parts)
    how = COMBINE.get(total.resource, "sum")
    if how == "mean":
        return min(values) - margin <= total.value <= max(values) + margin
    if how == "max":
        return abs(total.value - max(values)) <= margin
    return abs(total.value - sum(values)) <= margin
