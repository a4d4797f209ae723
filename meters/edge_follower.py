"""Edges that wait for their counter's next tick: watched together, whatever their number."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Protocol

from attrs import frozen

from harness.meters.counter_edges import Edge, Sample

# Between two dense samples.
DENSE_SECONDS = 0.0005


class Followed(Protocol):
    """What is sampled densely after an edge."""

    def follow(self) -> Sample: ...


@frozen(eq=False)
class _Waiting:
    gauge: Followed
    edge: Edge
    sharp: threading.Event
    until: float


class Follower:
    """Takes one sample of each gauge at a time, for all the edges that wait for its tick.

    An edge keeps what places it, not the samples, so that laps may follow each other as quickly as they like.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def add(self, edges: Iterable[tuple[Followed, Edge]], sharp: threading.Event, until: float) -> bool:
        """Have *edges* followed until the time *until* [s]; *sharp* is set once all of them are placed.

        Returns whether `look` has to be called from now on: it was not waited for before.
        """
        with self._lock:
            idle = not self._waiting
            self._waiting += [_Waiting(gauge, edge, sharp, until) for gauge, edge in edges]
            return idle

    def give_up(self) -> None:
        """Let all that wait go on with what they have."""
        with self._lock:
            for one in self._waiting:
                one.sharp.set()
            self._waiting = []

    def look(self) -> float | None:
        """Sample each gauge once; return when to call again [s], None when nothing waits any more."""
        with self._lock:
            now = time.monotonic()
            samples = {id(one.gauge): _sample(one.gauge) for one in self._waiting}
            # The sample first: one that was held up beyond the patience may well show the tick.
            left = [one for one in self._waiting if not _added(one.edge, samples[id(one.gauge)]) and now < one.until]
            open_events = {id(one.sharp) for one in left}
            for one in self._waiting:
                if id(one.sharp) not in open_events:
                    one.sharp.set()
            self._waiting = left
            return DENSE_SECONDS if left else None


def _sample(gauge: Followed) -> Sample | None:
    try:
        return gauge.follow()
    except Exception:
        return None  # lost after the edge: what was read stays, with the wider error bar


def _added(edge: Edge, sample: Sample | None) -> bool:
    """Give *sample* to the edge and return whether it waits no more."""
    return sample is None or edge.trail is None or edge.trail.add(sample)
