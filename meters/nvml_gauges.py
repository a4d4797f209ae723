"""The energy of one card over windows: from its counter, or, without one, from samples of its power."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol

from attrs import frozen

from harness.meters.counter_edges import (
    ACCURACY,
    ACCURACY_WATTS,
    LONGEST_STEP,
    Edge,
    Lead,
    Placed,
    Sample,
    Scale,
    Stretch,
    Trail,
    energy_between,
    standstill,
    step_by_power,
    tick_time,
)
from harness.meters.power_sensor import FRESH_SECONDS, PowerSensor

# NVML's averages are over so long.
_AVERAGED_SECONDS = 1.0
# Other readings are refreshed every 20 to 100 ms on many cards (arXiv 2312.02741).
_LAG_SECONDS = 0.1
# A tick this long before an edge, or longer, is not all that is wanted to place it.
_YOUNG_SECONDS = 0.003
# What was sampled before an edge belongs to it if the last sample is no older.
_RECENT_SECONDS = 0.01
# So many times between ticks make the step known, and later ones may be so much longer.
_ENOUGH_STEPS = 10
_LONGER = 1.1
# One in so many edges waits for two ticks although the step is known, since a card's steps may change.
_RELEARN = 10


class PowerCard(Protocol):
    """What a gauge reads of a card."""

    averaged: bool
    limit_watts: float | None

    def joules(self) -> float: ...

    def watts(self) -> float: ...


class CounterGauge:
    """Energy from the card's counter, whose edges dense samples can place within its steps."""

    source: Literal["counter"] = "counter"

    def __init__(self, card: PowerCard, clock: Callable[[], float] = time.monotonic) -> None:
        self._card = card
        self._clock = clock
        self._settled = threading.local()
        self._steps: list[tuple[float, float]] = []
        self._settlings = 0
        self.sensor = PowerSensor(card.averaged)

    def sample(self) -> Sample:
        """Read counter and power once. Raises what the card raises."""
        begun = self._clock()
        joules, watts = self._card.joules(), self._card.watts()
        ended = self._clock()
        return Sample((begun + ended) / 2, joules, watts, (ended - begun) / 2)

    def edge(self) -> Edge:
        """Read the card; what this thread saw of it just before, in `settle`, goes with it."""
        lead: Lead | None = getattr(self._settled, "lead", None)
        self._settled.lead = None
        at = self.sample()
        if lead is None or at.time - lead.since.last.time > _RECENT_SECONDS:
            return Edge(at)
        return Edge(at, lead.plus(at))

    def settling(self) -> Settling:
        """Begin to watch the counter for the edge that this thread takes next."""
        self._settled.lead = None
        self._settlings += 1
        return Settling(self, ticks=1 if self.knows_step and self._settlings % _RELEARN else 2)

    def keep(self, lead: Lead) -> None:
        """Keep *lead* for the next edge of this thread."""
        self._settled.lead = lead

    def needs_trail(self, edge: Edge) -> bool:
        """Say whether samples after *edge* would place it better than those before it do."""
        if edge.lead is None:
            return True
        age = edge.at.time - edge.lead.since.first.time
        return age > _YOUNG_SECONDS and self.sensor.kind != "instantaneous"

    def follow(self) -> Sample:
        """Take one dense sample of those after edges."""
        sample = self.sample()
        self.sensor.observe(sample.time, sample.watts)
        return sample

    def learn_step(self, lead: Lead, sample: Sample) -> None:
        """Learn from the tick that *sample* shows after the one in *lead*."""
        (first, early), (last, late) = tick_time(lead.before, lead.since.first), tick_time(lead.since.last, sample)
        if early + late < (last - first) / 2:
            self._steps = [*self._steps[-99:], (last - first - early - late, last - first + early + late)]
            checked = step_by_power(lead, sample, min(self.sensor.refresh or 0.0, FRESH_SECONDS))
            if checked is not None:
                self.sensor.check(*checked)

    @property
    def knows_step(self) -> bool:
        return len(self._steps) >= _ENOUGH_STEPS

    @property
    def steps(self) -> tuple[float, float] | None:
        """The shortest and the longest that a step may be [s], None if none was seen."""
        if not self._steps:
            return None
        shortest, longest = min(low for low, _ in self._steps), _LONGER * max(high for _, high in self._steps)
        return shortest, longest if self.knows_step else max(longest, LONGEST_STEP)

    @property
    def step(self) -> float | None:
        """The middle of the times between ticks [s]."""
        middles = sorted(sum(bounds) / 2 for bounds in self._steps)
        return middles[len(middles) // 2] if middles else None

    def energy(self, start: Edge, stop: Edge) -> Placed | str:
        """Return the energy between two edges [J], or why it is not known."""
        if stop.at.joules < start.at.joules:
            return "the card's counter began anew: its driver was loaded again, or the card reset"
        kind, refresh = self.sensor.kind, min(self.sensor.refresh or 0.0, FRESH_SECONDS)
        scale = Scale(self.steps, kind, refresh, self._card.limit_watts, self.step)
        return standstill(start, stop, scale) or energy_between(start, stop, scale)


class Settling:
    """Dense samples before an edge, from the counter's last tick on."""

    def __init__(self, gauge: CounterGauge, ticks: int) -> None:
        self._gauge = gauge
        self._wanted = ticks
        self._last: Sample | None = None
        self._lead: Lead | None = None
        self._ticks = 0

    def step(self) -> bool:
        """Take one sample; True once all ticks are seen that are wanted."""
        sample, last = self._gauge.follow(), self._last
        self._last = sample
        if last is not None and sample.joules != last.joules:
            self._ticks += 1
            if self._lead is not None:
                self._gauge.learn_step(self._lead, sample)
        if self._lead is not None:
            self._lead = self._lead.plus(sample)
        elif self._ticks and last is not None:
            self._lead = Lead(last, Stretch(sample, sample), last.watts)
        if self._lead is not None:
            self._gauge.keep(self._lead)
        return self._ticks >= self._wanted


def trailing(edge: Edge) -> Edge:
    """Return *edge* with a trail that is to be filled."""
    return Edge(edge.at, edge.lead, Trail(Stretch(edge.at, edge.at)))


@frozen
class PowerEdge:
    """What was used up to here since the gauge was made: the sum [J] by the trapezoid rule, and the power now [W].

    `rough` [J2] adds up the squares of how far each part may be off if power jumped anywhere between its two samples,
    `squares` [s2] those of the times between samples.
    """

    time: float
    watts: float
    joules: float = 0.0
    rough: float = 0.0
    squares: float = 0.0


def sampling_delay(period: float, draw: Callable[[float, float], float] = random.uniform) -> float:
    """Return the seconds to the next sample of power: *period* on average, so that no load keeps time with them."""
    return draw(0.5 * period, 1.5 * period)


class PowerGauge:
    """Energy from samples of power, by the trapezoid rule.

    Each sample carries the sums on, so that nothing grows with the length of a window.
    """

    source: Literal["sampled"] = "sampled"

    def __init__(self, card: PowerCard, clock: Callable[[], float] = time.monotonic) -> None:
        self._card = card
        self._clock = clock
        self._lock = threading.Lock()  # edges and the background thread take samples alike
        self._last: PowerEdge | None = None
        self._range = (math.inf, 0.0)

    def edge(self) -> PowerEdge:
        """Take a sample and return it with the energy up to it. Raises what the card raises."""
        with self._lock:
            watts, now = self._card.watts(), self._clock()
            last = self._last or PowerEdge(now, watts)
            elapsed = now - last.time
            self._range = (min(self._range[0], watts), max(self._range[1], watts))
            self._last = PowerEdge(
                now,
                watts,
                last.joules + elapsed * (last.watts + watts) / 2,
                last.rough + (elapsed * (watts - last.watts) / 2) ** 2,
                last.squares + elapsed**2,
            )
            return self._last

    def energy(self, start: PowerEdge, stop: PowerEdge) -> Placed:
        """Return the energy between two edges [J].

        A jump lies anywhere between its two samples: its part is off by a uniform error, of which three standard
        deviations count (sqrt(3) times the most). Others may have come and gone unseen, anywhere between the least
        power seen and the card's limit. Both are as likely up as down, so they add up as squares. What readings lag
        behind reaches over both edges.
        """
        joules, elapsed = stop.joules - start.joules, stop.time - start.time
        mean = joules / elapsed if elapsed > 0 else stop.watts
        most = max(self._range[1], self._card.limit_watts or 0.0)
        far = max(most - mean, mean - self._range[0])
        unseen = 1.5 * math.sqrt(max(0.0, stop.squares - start.squares))
        doubt = math.sqrt(3 * max(0.0, stop.rough - start.rough)) + max(ACCURACY * joules, ACCURACY_WATTS * elapsed)
        doubt += far * min(unseen, elapsed) + far * min(self._lag, elapsed)
        return Placed(joules, doubt)

    @property
    def _lag(self) -> float:
        return _AVERAGED_SECONDS if self._card.averaged else _LAG_SECONDS
