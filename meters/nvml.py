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

from attrs import define, field, frozen

from harness.hookspecs import hookimpl
from harness.measuring.sampler import Sampler, quick_turns
from harness.meter import Readings
from harness.meters.counter_edges import Edge, Sample
from harness.meters.nvml_cards import Card, CardName, Library, Visible, cards_of_torch, visible_cards
from harness.meters.nvml_gauges import CounterGauge, PowerEdge, PowerGauge
from harness.records import SOURCES, Missing, Reading

_RESOURCE = "energy_gpu"
# Between two dense samples.
_DENSE_SECONDS = 0.0005
# A counter that has not ticked twice within this is left alone: 2 x 100 ms is the slowest known, and some more.
_PATIENCE_SECONDS = 0.25
_SAMPLE_SECONDS = 0.05


@frozen
class MeteredCard:
    """A card with the gauge that reads its energy."""

    card: Card
    gauge: CounterGauge | PowerGauge


@define(eq=False)
class NvmlMark:
    """An edge of every card by its UUID, or why it could not be read; `sharp` is set once all is gathered for it."""

    edges: Mapping[str, Edge | PowerEdge | str]
    sharp: threading.Event | None = field(default=None)


class NvmlMeter:
    """Energy of each card and of all together."""

    def __init__(self, options: Mapping[str, Any], library: Library | None = None) -> None:
        self._library = library or Library()
        self._period: float = options.get("sample_period", _SAMPLE_SECONDS)
        self._given_sampler: Sampler | None = options.get("sampler")
        self._sampler = self._given_sampler
        self._visible = Visible(())
        self._cards: dict[str, MeteredCard] = {}
        self._lost: dict[str, str] = {}
        self._sampling = False

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
        names = self._library.names()
        self._visible = visible_cards(names, os.environ)
        for index in self._visible.indices:
            self._open_card(index, names[index])
        self._sampler = self._given_sampler or Sampler()

    def mark(self) -> NvmlMark:
        if not self._sampling:
            self._begin_sampling()
        edges: dict[str, Edge | PowerEdge | str] = dict(self._lost)
        for uuid, metered in self._cards.items():
            edges[uuid] = _edge(metered.gauge)
        return NvmlMark(edges)

    def settle(self) -> None:
        """Wait until every counter has ticked, so that the edge to come is placed by samples from there on."""
        runs: list[tuple[CounterGauge, list[Sample]]] = [(gauge, []) for gauge in self._counters()]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with quick_turns:
            while time.monotonic() < deadline:
                settled = [_settled(gauge, run) for gauge, run in runs]
                if all(settled):
                    return
                time.sleep(_DENSE_SECONDS)

    def sharpen(self, mark: NvmlMark, /) -> None:
        """Have each counter watched until its next tick after *mark*, by the sampler."""
        waiting = [
            (metered.gauge, edge)
            for uuid, metered in self._cards.items()
            if isinstance(metered.gauge, CounterGauge) and isinstance(edge := mark.edges.get(uuid), Edge)
            if not edge.led
        ]
        if waiting and self._sampler is not None:
            mark.sharp = threading.Event()
            self._sampler.add("nvml", _watch(waiting, mark.sharp), dense=True)

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
            "cards": [
                {**metered.card.facts(), "counter_step_seconds": getattr(metered.gauge, "step", None)}
                for metered in self._cards.values()
            ],
        }

    def close(self) -> None:
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
        if name.fault is not None:
            self._lost[name.uuid] = name.fault
            return
        try:
            card = Card(self._library, index, is_sliced=index in self._visible.sliced)
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
                self._sampler.add("nvml", self._sample(metered.gauge), self._period)

    def _sample(self, gauge: PowerGauge) -> Callable[[], float | None]:
        def sample() -> float | None:
            # A card that is lost is told of by the next edge.
            return self._period if self._sampling and not isinstance(_edge(gauge), str) else None

        return sample

    def _shown(self, mark: NvmlMark) -> Iterable[str]:
        """Return the UUIDs of the cards to tell of: where numbers leave doubt, those that torch uses."""
        used = cards_of_torch() if self._visible.note else None
        return [uuid for uuid in mark.edges if used is None or uuid in used] or list(mark.edges)

    def _of_card(self, uuid: str, start: NvmlMark, stop: NvmlMark) -> Reading | Missing:
        first, last = start.edges[uuid], stop.edges[uuid]
        for edge in (first, last):
            if isinstance(edge, str):
                return Missing(_RESOURCE, edge)
        metered = self._cards[uuid]
        placed = metered.gauge.energy(first, last)  # type: ignore[arg-type]  # edges of this gauge
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


def _settled(gauge: CounterGauge, run: list[Sample]) -> bool:
    try:
        return gauge.settle(run)
    except Exception:
        return True  # lost: the edge will tell


def _watch(waiting: list[tuple[CounterGauge, Edge]], sharp: threading.Event) -> Callable[[], float | None]:
    """Return a job that samples *waiting* until each edge is placed, or patience ends, and then sets *sharp*."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    left = list(waiting)

    def watch() -> float | None:
        nonlocal left
        left = [(gauge, edge) for gauge, edge in left if not _followed(gauge, edge)]
        if left and time.monotonic() < deadline:
            return _DENSE_SECONDS
        sharp.set()
        return None

    return watch


def _followed(gauge: CounterGauge, edge: Edge) -> bool:
    try:
        return gauge.follow(edge)
    except Exception:
        return True  # lost after the edge: what was read stays, with the wider error bar


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
