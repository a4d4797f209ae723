"""Recording the power that a meter reads, so that it can be replayed where there is no such device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from harness.errors import HarnessError
from harness.measuring.stack import MeterStack
from harness.meter import Meter, StackedMeter
from harness.testing.power_trace import PowerTrace


def record_trace(
    meter: Meter,
    resource: str,
    seconds: float,
    period: float = 0.1,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> PowerTrace:
    """Return the mean power of each *period* [s], placed at its middle, that *meter* reads of *resource* [J].

    Takes *seconds*. Raises HarnessError where the meter does not work here or misses a period.
    """
    if not 0 < period <= seconds / 2:
        raise HarnessError(f"a trace needs two periods or more: {seconds:g} s hold too few of {period:g} s")

    with MeterStack() as stack:
        stack.add([StackedMeter("recorded", meter, (resource,))])
        return PowerTrace.of(_powers(stack, resource, round(seconds / period), period, clock, sleep))


def _powers(
    stack: MeterStack,
    resource: str,
    count: int,
    period: float,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> Iterator[tuple[float, float]]:
    before, edge = clock(), stack.edge("start")
    begun = before
    for number in range(1, count + 1):
        sleep(max(0.0, begun + number * period - clock()))
        after, next_edge = clock(), stack.edge("lap")
        readings, missing = stack.between(edge, next_edge)
        if missing:
            raise HarnessError(f"no trace of {resource} can be recorded: {missing[0].reason}")
        joules = next(reading.value for reading in readings if reading.device is None and reading.resource == resource)
        yield (before + after) / 2, joules / (after - before)
        before, edge = after, next_edge
