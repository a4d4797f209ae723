"""Where an edge lies within the step of an energy counter that moves only now and then.

A counter that moves every 20-100 ms says at an edge how much was used up to its last tick, not up to now. Dense samples
of counter and power around the edge tell when the counter ticked, and so how much of that tick's exact energy lies on
which side: `place` gives the energy at the edge with the half-width of an interval that holds the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from attrs import field, frozen

# NVML's reference gives its power readings as right within 5 per cent.
_ACCURACY = 0.05
# NVIDIA's counters move every 20 to 100 ms; so long is a step that was not seen.
LONGEST_STEP = 0.1
# For moments a card takes more than its limit.
_OVER_LIMIT = 1.5
_COUNTER_RESOLUTION = 1e-3


class Sample(NamedTuple):
    """The counter [J] and the power [W] at a time [s], which is known but for `doubt` [s]."""

    time: float
    joules: float
    watts: float
    doubt: float = 0.0


@frozen
class Scale:
    """What a card's samples mean.

    `step` is the counter's [s], None if it was not seen yet; `averaged` whether power is an average; `limit_watts` the
    card's limit.
    """

    step: float | None = None
    averaged: bool = False
    limit_watts: float | None = None

    @property
    def longest_step(self) -> float:
        return self.step or LONGEST_STEP


@frozen
class Edge:
    """The sample at the edge, the dense ones just before it, and those after it up to the counter's next tick."""

    at: Sample
    lead: Sequence[Sample] = ()
    trail: list[Sample] = field(factory=list)

    @property
    def led(self) -> bool:
        """Whether the samples before the edge hold a tick."""
        return bool(ticks([*self.lead, self.at]))

    @property
    def trailed(self) -> bool:
        """Whether the samples after the edge hold a tick."""
        return bool(ticks([self.at, *self.trail]))


@frozen
class Placed:
    """The energy at an edge [J] on the counter's own scale, and how far off it may be."""

    joules: float
    doubt: float


def ticks(samples: Sequence[Sample]) -> list[int]:
    """Return the indices of the samples whose counter is another than that of the sample before."""
    return [index for index, (old, new) in enumerate(pairwise(samples), start=1) if new.joules != old.joules]


def tick_time(old: Sample, new: Sample) -> tuple[float, float]:
    """Return when the counter ticked between two samples [s], and how far off that may be."""
    first, last = old.time - old.doubt, new.time + new.doubt
    return (first + last) / 2, (last - first) / 2


def energy_between(start: Edge, stop: Edge, scale: Scale) -> Placed:
    """Return the energy from *start* to *stop* [J] with its error bar."""
    elapsed = stop.at.time - start.at.time
    mean = (stop.at.joules - start.at.joules) / elapsed if elapsed > 0 else 0.0
    first, last = place(start, scale, mean), place(stop, scale, mean)
    doubt = first.doubt + last.doubt + 2 * _COUNTER_RESOLUTION
    return Placed(max(0.0, last.joules - first.joules), doubt)


def place(edge: Edge, scale: Scale, mean_watts: float) -> Placed:
    """Return the energy at *edge*, by the samples that tell most; *mean_watts* is the window's, for want of others."""
    if edge.led:
        return _after_tick([*edge.lead, edge.at], scale)
    if edge.trailed:
        return _before_tick([edge.at, *edge.trail], scale)

    # Somewhere in a step: half of it, give or take the other half, at a power that may have been the window's.
    doubt = scale.longest_step * (max(edge.at.watts, mean_watts) + abs(edge.at.watts - mean_watts)) / 2
    return Placed(edge.at.joules + edge.at.watts * (scale.step or 0.0) / 2, doubt)


def _after_tick(samples: Sequence[Sample], scale: Scale) -> Placed:
    """Place the last of *samples* by the last tick before it."""
    seen = ticks(samples)
    since = samples[seen[-1] :]
    when, doubt = tick_time(samples[seen[-1] - 1], since[0])
    used, rough = _area(since)
    used += since[0].watts * (since[0].time - when)
    if scale.averaged:
        used = _power_before(samples, seen) * (samples[-1].time - when)
        rough = used
    return Placed(samples[-1].joules + used, doubt * since[0].watts + rough + _ACCURACY * used)


def _power_before(samples: Sequence[Sample], seen: Sequence[int]) -> float:
    """Return the power up to the last tick [W]: that of the tick before, if both are in the samples."""
    if len(seen) < 2:
        return samples[seen[-1]].watts
    (first, _), (last, _) = (tick_time(samples[index - 1], samples[index]) for index in seen[-2:])
    return (samples[seen[-1]].joules - samples[seen[-2]].joules) / (last - first)


def _before_tick(samples: Sequence[Sample], scale: Scale) -> Placed:
    """Place the first of *samples* by the first tick after it, whose energy is exact."""
    index = ticks(samples)[0]
    until, after = samples[:index], samples[index]
    when, doubt = tick_time(until[-1], after)
    left, tick = max(0.0, when - samples[0].time), after.joules - samples[0].joules
    doubt *= max(until[-1].watts, after.watts)
    if scale.averaged:
        rest, rough = _shared_by_time(left, tick, scale)
    else:
        rest, rough = _area(until)
        rest = min(tick, rest + until[-1].watts * (when - until[-1].time))
        rough += _ACCURACY * rest + _staleness(until, left, tick, rest, scale)
    return Placed(after.joules - rest, doubt + rough)


def _shared_by_time(left: float, tick: float, scale: Scale) -> tuple[float, float]:
    """Return what of the energy *tick* [J] of one step lies in its last *left* seconds if it is used evenly.

    All of it may have been used on either side, as far as the card can take it.
    """
    step = max(scale.longest_step, left)
    most = max(_OVER_LIMIT * scale.limit_watts, tick / step) if scale.limit_watts else float("inf")
    rest = tick * left / step
    highest = min(tick, most * left) if left else 0.0
    lowest = max(0.0, tick - most * (step - left)) if left < step else tick
    return rest, max(highest - rest, rest - lowest)


def _staleness(samples: Sequence[Sample], left: float, tick: float, rest: float, scale: Scale) -> float:
    """Return what a sensor that is read seldom may hide [J].

    Readings that never change may be of one old moment: then all that the tick's exact energy has beyond that power may
    lie on this side of the edge.
    """
    if left <= 0:
        return 0.0
    changes = sum(new.watts != old.watts for old, new in pairwise(samples))
    beyond = abs(tick - rest / left * max(scale.longest_step, left))
    return min(beyond, max(rest, tick - rest)) / (changes + 1)


def _area(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return the energy under the power of *samples* [J] by the trapezoid rule, and how far off that may be.

    Between two samples power may be that of either for most of the time.
    """
    area = rough = 0.0
    for old, new in pairwise(samples):
        elapsed = new.time - old.time
        area += elapsed * (old.watts + new.watts) / 2
        rough += elapsed * abs(new.watts - old.watts) / 2
    return area, rough
