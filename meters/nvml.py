"""The `nvml` meter: energy of the NVIDIA cards that this process sees.

From the card's energy counter where it has one, else from samples of its power. In sharp windows the edges are placed
within the counter's steps; see `harness.meters.counter_edges`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, frozen

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.measuring.sampler import Sampler, quick_turns
from harness.meter import Readings
from harness.meters.counter_edges import Edge
from harness.meters.edge_follower import DENSE_SECONDS, Follower
from harness.meters.nvml_cards import Card, CardName, Library, Visible, cards_of_torch, visible_cards
from harness.meters.nvml_gauges import CounterGauge, PowerEdge, PowerGauge, Settling, sampling_delay, trailing
from harness.records import SOURCES, Missing, Reading

_RESOURCE = "energy_gpu"
# A counter that has not ticked twice within this is left alone: 2 x 100 ms is the slowest known, and some more.
_PATIENCE_SECONDS = 0.3
_SAMPLE_SECONDS = 0.05
_LONGEST_PERIOD = 60.0


@frozen
class MeteredCard:
    """A card with the gauge that reads its energy."""

    card: Card
    gauge: CounterGauge | PowerGauge


@define(eq=False)
class NvmlMark:
    """An edge of every card by its UUID, or why it could not be read; `sharp` is set once all is gathered for it."""

    edges: dict[str, Edge | PowerEdge | str]
    sharp: threading.Event | None = None


class NvmlMeter:
    """Energy of each card and of all together. Raises HarnessError for a sampling period that is not positive."""

    def __init__(self, options: Mapping[str, Any], library: Library | None = None) -> None:
        self._library = library or Library()
        self._period = _checked_period(options.get("sample_period") or _SAMPLE_SECONDS)
        self._given_sampler: Sampler | None = options.get("sampler")
        self._sampler = self._given_sampler
        self._visible = Visible(())
        self._cards: dict[str, MeteredCard] = {}
        self._lost: dict[str, str] = {}
        self._uuids: dict[int, str] = {}
        self._sampling = False
        self._follower = Follower()
        self._pid = 0

    def unavailable(self) -> str | None:
        reason = self._library.connect()
        if reason is not None:
            return reason
        try:
            return self._no_card()
        finally:
            self._library.disconnect()

    def open(self) -> None:
        reason = self._library.connect()
        if reason is not None:
            raise OSError(reason)
        try:
            names = self._library.names()
            self._visible = visible_cards(names, os.environ)
            for index in self._visible.candidates:
                self._open_card(index, names[index])
        except BaseException:
            self._library.disconnect()
            raise
        self._sampler = self._given_sampler or Sampler()
        self._pid = os.getpid()

    def mark(self) -> NvmlMark:
        if os.getpid() != self._pid:
            # The thread that follows edges is not in the child, and a lock that it held stays held.
            raise OSError("the meter was opened before this process was forked; open it in the child")
        if not self._sampling:
            self._begin_sampling()
        edges: dict[str, Edge | PowerEdge | str] = dict(self._lost)
        for uuid, metered in self._cards.items():
            edges[uuid] = _edge(metered.gauge)
        return NvmlMark(edges)

    def settle(self) -> None:
        """Wait until every counter has ticked, so that the edge to come is placed by samples from there on."""
        if os.getpid() != self._pid:
            return
        settlings = [gauge.settling() for gauge in self._counters()]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with quick_turns:
            while time.monotonic() < deadline:
                settled = [_settled(settling) for settling in settlings]
                if all(settled):
                    return
                time.sleep(DENSE_SECONDS)

    def sharpen(self, mark: NvmlMark, /) -> None:
        """Have each counter watched until its next tick after *mark*, by the sampler."""
        if os.getpid() != self._pid:
            return
        wanted = []
        for uuid, metered in self._cards.items():
            edge = mark.edges.get(uuid)
            if isinstance(edge, Edge) and isinstance(metered.gauge, CounterGauge) and metered.gauge.needs_trail(edge):
                mark.edges[uuid] = edge = trailing(edge)
                wanted.append((metered.gauge, edge))
        if wanted and self._sampler is not None:
            mark.sharp = threading.Event()
            if self._follower.add(wanted, mark.sharp, time.monotonic() + _PATIENCE_SECONDS):
                try:
                    self._sampler.add("nvml", self._follower.look, dense=True)
                except BaseException:
                    self._follower.give_up()
                    raise

    def between(self, start: NvmlMark, stop: NvmlMark, /) -> Readings:
        for mark in (start, stop):
            if mark.sharp is not None:
                mark.sharp.wait(2 * _PATIENCE_SECONDS)
        records = [self._of_card(uuid, start, stop) for uuid in self._shown(start)]
        yield from (record for record in records if isinstance(record, Reading))
        yield _total(records, self._visible.note)

    def facts(self) -> dict[str, Any]:
        """Return the driver and what is known of each card."""
        api = self._library.api
        return {
            "driver": self._library.ask(api.nvmlSystemGetDriverVersion),
            "cards": [{**metered.card.facts(), **_learnt(metered.gauge)} for metered in self._cards.values()],
        }

    def close(self) -> None:
        if os.getpid() == self._pid:
            self._follower.give_up()
        if self._given_sampler is None and self._sampler is not None:
            self._sampler.close()
        self._cards, self._lost, self._sampling = {}, {}, False
        self._library.disconnect()

    def _no_card(self) -> str | None:
        names = self._library.names()
        if not names:
            return "the NVIDIA driver sees no card"
        visible = visible_cards(names, os.environ).indices
        faults = [names[index].fault for index in visible]
        if faults and all(faults):
            return f"{faults[0]}; restart the machine or reset the card"
        if not visible:
            return (
                f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')} hides every card; "
                f"unset it, or name one of {', '.join(name.uuid for name in names)}"
            )
        return None

    def _open_card(self, index: int, name: CardName) -> None:
        self._uuids[index] = name.uuid
        if name.fault is not None:
            self._lost[name.uuid] = name.fault
            return
        try:
            card = Card(self._library, index, is_sliced=bool(name.slices))
            card.watts()
        except self._library.api.NVMLError as error:
            self._lost[name.uuid] = f"{name.uuid} cannot be read: {error}"
            return
        self._cards[name.uuid] = MeteredCard(card, CounterGauge(card) if card.counts else PowerGauge(card))

    def _counters(self) -> list[CounterGauge]:
        return [metered.gauge for metered in self._cards.values() if isinstance(metered.gauge, CounterGauge)]

    def _begin_sampling(self) -> None:
        """Sample the power of cards without a counter from now on. No thread is begun where all have one."""
        self._sampling = True
        for metered in self._cards.values():
            if isinstance(metered.gauge, PowerGauge) and self._sampler is not None:
                self._sampler.add("nvml", self._sample(metered.gauge), sampling_delay(self._period))

    def _sample(self, gauge: PowerGauge) -> Callable[[], float | None]:
        def sample() -> float | None:
            # A card that is lost is told of by the next edge.
            return sampling_delay(self._period) if self._sampling and not isinstance(_edge(gauge), str) else None

        return sample

    def _shown(self, mark: NvmlMark) -> Iterable[str]:
        """Return the UUIDs of the cards to tell of: where numbers leave doubt, those that torch uses."""
        if self._visible.note is None:
            return mark.edges
        return cards_of_torch() or [self._uuids[index] for index in self._visible.indices]

    def _of_card(self, uuid: str, start: NvmlMark, stop: NvmlMark) -> Reading | Missing:
        first, last = (mark.edges.get(uuid, f"{uuid} is not among the cards of NVML") for mark in (start, stop))
        for edge in (first, last):
            if isinstance(edge, str):
                return Missing(_RESOURCE, edge)
        metered = self._cards[uuid]
        placed = metered.gauge.energy(first, last)  # type: ignore[arg-type]  # edges of this gauge
        if isinstance(placed, str):
            return Missing(_RESOURCE, placed)
        return Reading(
            resource=_RESOURCE,
            value=placed.joules,
            unit="J",
            uncertainty=placed.doubt,
            source=metered.gauge.source,
            device=uuid,
            note=metered.card.note,
        )


def _edge(gauge: CounterGauge | PowerGauge) -> Edge | PowerEdge | str:
    """Return the gauge's edge, or why it has none: a lost card must not take the others' readings with it."""
    try:
        return gauge.edge()
    except Exception as error:
        return f"the card cannot be read: {error}"


def _settled(settling: Settling) -> bool:
    try:
        return settling.step()
    except Exception:
        return True  # lost: the edge will tell


def _learnt(gauge: CounterGauge | PowerGauge) -> dict[str, Any]:
    if isinstance(gauge, PowerGauge):
        return {}
    return {
        "counter_step_seconds": gauge.step,
        "power_refresh_seconds": gauge.sensor.refresh,
        "power_readings": gauge.sensor.kind,
    }


def _checked_period(seconds: float) -> float:
    if not 0 < seconds <= _LONGEST_PERIOD:
        raise HarnessError(f"sample_period must be above 0 and at most {_LONGEST_PERIOD:g} s, is {seconds!r}")
    return seconds


def _total(records: list[Reading | Missing], note: str | None) -> Reading | Missing:
    """Return the sum over the cards; one of them missing, it is missing."""
    readings = []
    for record in records:
        if isinstance(record, Missing):
            return record
        readings.append(record)
    notes = dict.fromkeys([reading.note for reading in readings if reading.note] + ([note] if note else []))
    return Reading(
        resource=_RESOURCE,
        value=sum(reading.value for reading in readings),
        unit="J",
        uncertainty=sum(reading.uncertainty for reading in readings),
        source=max((reading.source for reading in readings), key=SOURCES.index),
        note="; ".join(notes) or None,
    )


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("nvml", NvmlMeter, resources=(_RESOURCE,), options=("sample_period",))
