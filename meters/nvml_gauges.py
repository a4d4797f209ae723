"""The energy of one card over windows: from its counter, or, without one, from samples of its power."""

from __future__ import annotations

import math
import threading
import time
from typing import Literal, Protocol

from attrs import frozen

from harness.meters.counter_edges import LONGEST_STEP, Edge, Placed, Sample, Scale, energy_between, tick_time, ticks

# NVML's averages are over so long.
_AVERAGED_SECONDS = 1.0
# What was sampled before an edge belongs to it if the last sample is no older.
_FRESH_SECONDS = 0.01


class PowerCard(Protocol):
    """What a gauge reads of a card."""

    averaged: bool
    limit_watts: float | None

    def joules(self) -> float: ...

    def watts(self) -> float: ...


class CounterGauge:
    """Energy from the card's counter, whose edges dense samples can place within its steps."""

    source: Literal["counter"] = "counter"

    def __init__(self, card: PowerCard) -> None:
        self._card = card
        self._lead: list[Sample] = []
        self._step: float | None = None

    def edge(self) -> Edge:
        """Read the card; what `settle` saw just before goes with it. Raises what the card raises."""
        at, lead = self.sample(), self._lead
        return Edge(at, tuple(lead) if lead and at.time - lead[-1].time < _FRESH_SECONDS else ())

    def sample(self) -> Sample:
        """Read counter and power once."""
        begun = time.monotonic()
        joules = self._card.joules()
        ended = time.monotonic()
        return Sample((begun + ended) / 2, joules, self._card.watts(), (ended - begun) / 2)

    def settle(self, run: list[Sample]) -> bool:
        """Add a sample to *run*; True once it holds a tick, or, while the step is not known, two of them."""
        run.append(self.sample())
        seen = ticks(run)
        self._learn(run, seen)
        self._lead = run
        return len(seen) >= (1 if self._step else 2)

    def follow(self, edge: Edge) -> bool:
        """Add a sample to those after *edge*; True once they hold a tick."""
        edge.trail.append(self.sample())
        return edge.trailed

    def energy(self, start: Edge, stop: Edge) -> Placed:
        """Return the energy between two edges [J]."""
        scale = Scale(self._step, self._card.averaged, self._card.limit_watts)
        return energy_between(start, stop, scale)

    def _learn(self, run: list[Sample], seen: list[int]) -> None:
        """Take the time between the first two ticks seen as the step."""
        if self._step is None and len(seen) > 1:
            first, last = (tick_time(run[index - 1], run[index])[0] for index in seen[:2])
            self._step = min(LONGEST_STEP, last - first)

    @property
    def step(self) -> float | None:
        """The time between two ticks of the counter [s], once it was seen."""
        return self._step


@frozen
class PowerEdge:
    """What was used up to here since the gauge was made: the sum [J] by the trapezoid rule, and the power now [W].

    `rough` [J] is how far the sum may be off if power jumped anywhere between two samples, `squares` [s2] the sum of
    the squared times between samples.
    """

    time: float
    watts: float
    joules: float = 0.0
    rough: float = 0.0
    squares: float = 0.0


class PowerGauge:
    """Energy from samples of power, by the trapezoid rule.

    Each sample carries the sums on, so that nothing grows with the length of a window.
    """

    source: Literal["sampled"] = "sampled"

    def __init__(self, card: PowerCard) -> None:
        self._card = card
        self._lock = threading.Lock()  # edges and the background thread take samples alike
        self._last: PowerEdge | None = None
        self._range = (math.inf, 0.0)

    def edge(self) -> PowerEdge:
        """Take a sample and return it with the energy up to it. Raises what the card raises."""
        with self._lock:
            watts, now = self._card.watts(), time.monotonic()
            last = self._last or PowerEdge(now, watts)
            elapsed = now - last.time
            self._range = (min(self._range[0], watts), max(self._range[1], watts))
            self._last = PowerEdge(
                now,
                watts,
                last.joules + elapsed * (last.watts + watts) / 2,
                last.rough + elapsed * abs(watts - last.watts) / 2,
                last.squares + elapsed**2,
            )
            return self._last

    def energy(self, start: PowerEdge, stop: PowerEdge) -> Placed:
        """Return the energy between two edges [J].

        Beside the jumps that were seen, others may have come and gone between two samples, anywhere within the range of
        power seen so far; they are as likely up as down, so they add up as squares. Readings that are averages lag by
        up to what they average over.
        """
        joules, elapsed = stop.joules - start.joules, stop.time - start.time
        swing = self._range[1] - self._range[0]
        doubt = stop.rough - start.rough + swing * math.sqrt(max(0.0, stop.squares - start.squares)) / 2
        if self._card.averaged and elapsed > 0:
            lag = min(_AVERAGED_SECONDS, elapsed)
            doubt += lag * sum(abs(edge.watts - joules / elapsed) for edge in (start, stop)) / 2
        return Placed(joules, doubt)
