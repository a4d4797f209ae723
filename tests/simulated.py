"""A card in virtual time: its load, its counter's ticks and its power sensor, for thousands of windows in a second."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable
from typing import Any

from harness.meters.counter_edges import Placed
from harness.meters.nvml_gauges import CounterGauge, PowerGauge, sampling_delay, trailing

NOISE = 0.03


def pulses(time: float, watts: float, width: float, period: float) -> float:
    """Return the energy [J] of pulses up to *time*."""
    whole = math.floor(time / period)
    return watts * (whole * width + min(time - whole * period, width))


def fake_load(time: float) -> float:
    """Return the energy of the fake library's load: 60/300 W with spikes of 200 W more."""
    return 60 * time + pulses(time, 240, 0.4, 0.7) + pulses(time, 200, 0.012, 0.23)


def training_load(time: float) -> float:
    """Return the energy of steps of a training: 80/400 W, 0.15 s each."""
    return 80 * time + pulses(time, 320, 0.09, 0.15)


def broken_load(time: float) -> float:
    """Return the energy of work that stops and starts: 350 W for 0.11 s, and nothing at all for 0.12 s."""
    return pulses(time, 350, 0.11, 0.23)


def bursts(time: float) -> float:
    """Return the energy of short work: 350 W for 4 of every 11 ms, 50 W in between."""
    return 50 * time + pulses(time, 300, 0.004, 0.011)


def _scattered(number: int) -> float:
    """Return a number in [-1, 1], the same for the same *number*: scattered by products, sooner than by a generator.

    The constants are those of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    mixed = number * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    return mixed / 2**63 - 1


class SimulatedCard:
    """A card whose counter ticks every *step* seconds, give or take *jitter* of it; one tick in twenty takes *longer*.

    Its sensor is read every *refresh* seconds and gives the mean over *mean* seconds (0: always, and of that moment).
    In *held_up* of all calls for dense samples the caller waits 5 to 20 ms before and after, as behind a thread that
    computes in C.
    """

    limit_watts: float | None = 400.0

    def __init__(
        self,
        load: Callable[[float], float],
        seed: int,
        *,
        step: float = 0.1,
        jitter: float = 0.0,
        longer: float | None = None,
        averaged: bool = False,
        refresh: float = 0.0,
        mean: float = 0.0,
        held_up: float = 0.0,
    ) -> None:
        self._load, self.averaged, self._refresh, self._mean = load, averaged, refresh, mean
        self._held_up, self.dense = held_up, False
        self._random = random.Random(seed)
        self.now = 100 + self._random.random()
        self._step, self._jitter, self._longer = step, jitter, longer
        self._ticks = [self.now - step]

    def true_joules(self, time: float) -> float:
        return self._load(time)

    def joules(self) -> float:
        joules = self._joules()
        self._hold_up()
        return joules

    def _joules(self) -> float:
        while self._ticks[-1] <= self.now:
            self._ticks.append(self._ticks[-1] + self._next_step())
        last = self._ticks[bisect.bisect_right(self._ticks, self.now) - 1]
        return math.floor(self._load(last) * 1e3) / 1e3

    def _next_step(self) -> float:
        if self._longer and self._random.random() < 0.05:
            return self._longer
        return self._step * (1 + self._random.uniform(-self._jitter, self._jitter))

    def watts(self) -> float:
        watts = self._watts()
        self._hold_up()
        return watts

    def _hold_up(self) -> None:
        if self.dense and self._random.random() < self._held_up:
            self.now += self._random.uniform(0.005, 0.02)

    def _watts(self) -> float:
        if self.averaged:
            return self._load(self.now) - self._load(self.now - 1) + self._noise(self.now)
        read = math.floor(self.now / self._refresh) * self._refresh if self._refresh else self.now
        mean = self._mean or 1e-6
        return (self._load(read) - self._load(read - mean)) / mean + self._noise(read)

    def draw(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def wait(self) -> None:
        """Let a moment pass between two dense samples, as long as the system makes it."""
        self.now += 0.0006 * (1 + 0.3 * self._random.random())

    def _noise(self, read: float) -> float:
        return NOISE * _scattered(round(read * 1e9))


def windows(
    card: SimulatedCard, seconds: float, count: int, *, sharp: bool = True, gauge: CounterGauge | None = None
) -> list[tuple[Placed, float]]:
    """Return (what the gauge says, the truth) of *count* windows, begun at any moment."""
    gauge = gauge or CounterGauge(card, clock=lambda: card.now)
    pause = random.Random(seconds)
    found = []
    for _ in range(count):
        card.pass_time(pause.random())
        found.append(_counted(gauge, card, seconds, sharp))
    return found


def settle(gauge: CounterGauge, card: SimulatedCard) -> None:
    """Watch the counter as before the edge of a sharp window."""
    settling = gauge.settling()
    card.dense = True
    while not settling.step():
        card.wait()
    card.dense = False


def _counted(gauge: CounterGauge, card: SimulatedCard, seconds: float, sharp: bool) -> tuple[Placed, float]:
    if sharp:
        settle(gauge, card)
    card.pass_time(3e-5)
    edges: list[Any] = []
    times = []
    for pause in (0.0, seconds):
        card.pass_time(pause)
        edge = gauge.edge()
        times.append(card.now)
        if sharp and gauge.needs_trail(edge):
            edge = trailing(edge)
            if pause:
                card.dense = True
                while not edge.trail.add(gauge.follow()):
                    card.wait()
                card.dense = False
        edges.append(edge)
    placed = gauge.energy(*edges)
    assert isinstance(placed, Placed)
    return placed, card.true_joules(times[1]) - card.true_joules(times[0])


def sampled_windows(card: SimulatedCard, seconds: float, period: float, count: int) -> list[tuple[Placed, float]]:
    """Return the same of a card without a counter, whose power is sampled every *period* seconds."""
    gauge = PowerGauge(card, clock=lambda: card.now)
    pause = random.Random(seconds)
    found = []
    for _ in range(count):
        _sample_for(gauge, card, pause.random(), period)
        start, begun = gauge.edge(), card.now
        _sample_for(gauge, card, seconds, period)
        stop = gauge.edge()
        found.append((gauge.energy(start, stop), card.true_joules(card.now) - card.true_joules(begun)))
    return found


def _sample_for(gauge: PowerGauge, card: SimulatedCard, seconds: float, period: float) -> None:
    end = card.now + seconds
    while card.now + (delay := sampling_delay(period, card.draw)) < end:
        card.pass_time(delay)
        gauge.edge()
    card.pass_time(end - card.now)


def inside(found: list[tuple[Placed, float]]) -> float:
    """Return the share of windows whose truth lies within the bar."""
    return sum(abs(placed.joules - truth) <= placed.doubt for placed, truth in found) / len(found)


def median_bar(found: list[tuple[Placed, float]]) -> float:
    """Return the median bar as a fraction of the truth."""
    return sorted(placed.doubt / truth for placed, truth in found)[len(found) // 2]


def median_error(found: list[tuple[Placed, float]]) -> float:
    """Return the median error as a fraction of the truth."""
    return sorted(abs(placed.joules - truth) / truth for placed, truth in found)[len(found) // 2]
