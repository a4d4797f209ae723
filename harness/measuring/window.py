"""A stretch that is being metered, or was: its edges, its readings, and what metering it cost."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol

from attrs import frozen

from harness.measuring.derive import derive
from harness.records import Missing, Reading

EdgeKind = Literal["start", "lap", "stop"]


@frozen
class Marks:
    """One edge of all meters: the clock [ns, monotonic] and each meter's mark or fault.

    `seconds` is what taking each mark cost, `apart` how far from the clock it may lie [s].
    """

    clock: int
    marks: Mapping[str, Any]
    seconds: Mapping[str, float]
    apart: Mapping[str, float]


class TakesEdges(Protocol):
    """What a window asks of the meters' stack."""

    open_windows: set[int]

    @property
    def sampling_seconds(self) -> float:
        """The CPU time that reading between edges has taken so far."""

    def edge(self, edge: EdgeKind, names: Sequence[str] | None, *, sharp: bool, settle: bool = True) -> Marks:
        """Take one edge of the meters *names*."""

    def between(self, start: Marks, stop: Marks, **labels: Any) -> tuple[list[Reading], list[Missing]]:
        """Return the readings between two edges and what is missing."""


class Window:
    """Two edges of the meters *names* of *stack*, with the laps between them.

    *labels* (trial, phase) go into every reading. A *sharp* window takes a moment longer before it begins and after it
    ends, outside what is metered, and has narrower error bars; *pue* is for the carbon derived.
    """

    def __init__(
        self,
        stack: TakesEdges,
        names: Sequence[str] | None,
        labels: Mapping[str, Any],
        *,
        sharp: bool = False,
        pue: float = 1.0,
    ) -> None:
        self._stack = stack
        self._names = names
        self._labels = dict(labels)
        self._sharp = sharp
        self._pue = pue
        self._stopped = False
        self.readings: list[Reading] = []
        self.missing: list[Missing] = []
        # Within another window, to wait for a device would be metered there.
        self._edges = [stack.edge("start", names, sharp=sharp, settle=not stack.open_windows)]
        stack.open_windows.add(id(self))
        self._sampling = 0.0
        self._sampled_before = stack.sampling_seconds

    def lap(self) -> None:
        """End a lap here and begin the next."""
        self._edges.append(self._stack.edge("lap", self._names, sharp=self._sharp))

    def stop(self) -> None:
        """Take the last edge and read the meters: the whole window first, then each finished lap as an epoch."""
        if self._stopped:
            return

        self._stopped = True
        self._stack.open_windows.discard(id(self))
        self._edges.append(self._stack.edge("stop", self._names, sharp=self._sharp))
        self._sampling = self._stack.sampling_seconds - self._sampled_before
        self._read(self._edges[0], self._edges[-1], **self._labels)
        laps = self._edges[:-1]
        for number, (start, stop) in enumerate(pairwise(laps), start=1):
            self._read(start, stop, **self._labels, epoch=number)

    @property
    def edges_ns(self) -> tuple[int, int]:
        """The window's first and last edge on the monotonic clock [ns]."""
        return self._edges[0].clock, self._edges[-1].clock

    @property
    def costs(self) -> dict[str, float]:
        """What metering cost, in seconds of CPU time: by meter what its marks took, and all of the "sampler"."""
        spent: Counter[str] = Counter({"sampler": self._sampling})
        for edge in self._edges:
            spent.update(edge.seconds)
        return {name: seconds for name, seconds in spent.items() if seconds or name != "sampler"}

    def derived(self) -> tuple[list[Reading], list[Missing]]:
        """Return what follows from the readings of the whole window: energy, memory, carbon; and what does not."""
        whole = [reading for reading in self.readings if reading.epoch is None]
        return derive(whole, [gap for gap in self.missing if gap.epoch is None], pue=self._pue)

    def __getitem__(self, resource: str) -> Reading:
        """Return the total reading of *resource*, derived ones included.

        Raises KeyError with the reason where it is missing.
        """
        derived, lost = self.derived()
        for reading in [*self.readings, *derived]:
            if reading.resource == resource and reading.device is None and reading.epoch is None:
                return reading
        reasons = [gap.reason for gap in [*self.missing, *lost] if gap.resource == resource]
        raise KeyError(f"{resource}: {reasons[0] if reasons else 'no meter of this window reads it'}")

    def _read(self, start: Marks, stop: Marks, **labels: Any) -> None:
        readings, missing = self._stack.between(start, stop, **labels)
        self.readings += readings
        self.missing += missing


def overhead(window: Window) -> dict[str, dict[str, float | None]]:
    """Return what metering *window* cost: by meter `seconds` of CPU time, and the `joules` that these took.

    The joules are those seconds at the CPU's mean power in the window, more than one busy core takes; None where no
    meter of the window read it.
    """
    watts = None
    with contextlib.suppress(KeyError):
        watts = window["energy_cpu"].value / ((window.edges_ns[1] - window.edges_ns[0]) / 1e9)
    return {
        name: {"seconds": seconds, "joules": None if watts is None else seconds * watts}
        for name, seconds in window.costs.items()
    }
