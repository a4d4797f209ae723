"""The meters of a process as one: synchronised, in order, and guarded from each other."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal

from attrs import evolve, frozen

from harness.derive import derive
from harness.meter import StackedMeter, edge_order
from harness.records import Missing, Reading
from harness.watchdog import HANG_SECONDS, Watchdog

_log = logging.getLogger(__name__)

# How long a device may take to be opened or read: not within a metered stretch, so it may be slow.
SLOW_SECONDS = 120.0
Edge = Literal["start", "lap", "stop"]


@frozen
class _Fault:
    reason: str


@frozen
class Marks:
    """One edge of all meters: the clock [ns, monotonic] and each meter's mark or fault."""

    clock: int
    marks: Mapping[str, Any]


class MeterStack:
    """Opens meters once and takes windows with them.

    Each call of a meter is guarded: one that raises loses its own readings, with the reason, nobody else's. A call
    that hangs is named by `on_hang(what, seconds)` from the watchdog's thread.
    """

    def __init__(self, on_hang: Callable[[str, float], None] | None = None) -> None:
        self._meters: dict[str, StackedMeter] = {}
        self._lost: dict[str, _Fault] = {}
        self._lock = threading.RLock()
        self._dog = Watchdog(on_hang or _warn_of_hang)

    def __enter__(self) -> MeterStack:
        self._dog.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, meters: Iterable[StackedMeter]) -> None:
        """Open *meters* that are not yet here. One that is unavailable or raises is lost for good, with the reason."""
        with self._lock:
            for stacked in meters:
                if stacked.name not in self._meters:
                    self._meters[stacked.name] = stacked
                    self._open(stacked)

    def __contains__(self, name: str) -> bool:
        return name in self._meters

    def close(self) -> None:
        """Close every meter that was opened, the last first."""
        with self._lock:
            for stacked in reversed(self._meters.values()):
                if stacked.name not in self._lost:
                    self._guarded(stacked, "close", stacked.meter.close)
            self._meters.clear()
        self._dog.close()

    def edge(self, edge: Edge, names: Sequence[str] | None = None) -> Marks:
        """Take one edge of the meters *names* (None: of all). What a meter raises is kept in its place.

        Waits for the device at the first and the last edge of a window, not at a lap.
        """
        if edge != "lap":
            synchronize()
        with self._lock:
            chosen = [self._meters[name] for name in (self._meters if names is None else names)]
            chosen.sort(key=lambda stacked: edge_order(stacked.resources))
            if edge == "start":
                marks = {stacked.name: self._mark(stacked) for stacked in chosen}
                return Marks(time.monotonic_ns(), marks)
            clock = time.monotonic_ns()
            return Marks(clock, {stacked.name: self._mark(stacked) for stacked in reversed(chosen)})

    def between(self, start: Marks, stop: Marks, **labels: Any) -> tuple[list[Reading], list[Missing]]:
        """Return the readings from *start* to *stop* and what is missing, both with *labels* (trial, phase, epoch)."""
        readings: list[Reading] = []
        missing: list[Missing] = []
        with self._lock:
            for stacked in [self._meters[name] for name in self._meters if name in start.marks]:
                for record in self._of_one(stacked, start, stop):
                    if isinstance(record, Reading):
                        readings.append(
                            evolve(record, meter=stacked.name, start_ns=start.clock, stop_ns=stop.clock, **labels)
                        )
                    else:
                        missing.append(evolve(record, meter=stacked.name, **labels))
        return readings, missing

    @contextmanager
    def window(self, names: Sequence[str] | None = None, **labels: Any) -> Iterator[Window]:
        """Meter the block with the meters *names* (None: all). The readings are there after it, also when it raises."""
        window = Window(self, names, labels)
        try:
            yield window
        finally:
            window.stop()

    def _open(self, stacked: StackedMeter) -> None:
        result = self._guarded(stacked, "unavailable", stacked.meter.unavailable)
        if result is None:
            result = self._guarded(stacked, "open", stacked.meter.open)
        if result is not None:
            self._lost[stacked.name] = result if isinstance(result, _Fault) else _Fault(str(result))

    def _mark(self, stacked: StackedMeter) -> Any:
        if stacked.name in self._lost:
            return self._lost[stacked.name]
        return self._guarded(stacked, "mark", stacked.meter.mark)

    def _of_one(self, stacked: StackedMeter, start: Marks, stop: Marks) -> list[Reading | Missing]:
        """Return everything one meter says of a window, and a reason for each of its resources it says nothing of."""
        ends = (start.marks[stacked.name], stop.marks[stacked.name])
        fault = next((end for end in ends if isinstance(end, _Fault)), None)
        result: Any = fault or self._guarded(stacked, "between", lambda: _checked(stacked.meter.between(*ends)))
        if isinstance(result, _Fault):
            return [Missing(resource, result.reason) for resource in stacked.resources]

        told = {record.resource for record in result if isinstance(record, Missing) or record.device is None}
        silent = [resource for resource in stacked.resources if resource not in told]
        return [*result, *(Missing(resource, "the meter gave no total for it") for resource in silent)]

    def _guarded(self, stacked: StackedMeter, operation: str, call: Callable[[], Any]) -> Any:
        limit = HANG_SECONDS if operation == "mark" else SLOW_SECONDS
        self._dog.begin(f"meter {stacked.name!r} in {operation}()", limit)
        try:
            return call()
        except KeyboardInterrupt:
            raise  # the user's Ctrl-C
        except BaseException as error:
            return _Fault(f"{operation}() raised {type(error).__name__}: {error}")
        finally:
            self._dog.end()


class Window:
    """A stretch that is being metered, or was: two edges, with the laps between them."""

    def __init__(self, stack: MeterStack, names: Sequence[str] | None, labels: Mapping[str, Any]) -> None:
        self._stack = stack
        self._names = names
        self._labels = dict(labels)
        self._stopped = False
        self.readings: list[Reading] = []
        self.missing: list[Missing] = []
        self._edges = [stack.edge("start", names)]

    def lap(self) -> None:
        """End a lap here and begin the next."""
        self._edges.append(self._stack.edge("lap", self._names))

    def stop(self) -> None:
        """Take the last edge and read the meters: the whole window first, then each finished lap as an epoch."""
        if self._stopped:
            return

        self._stopped = True
        self._edges.append(self._stack.edge("stop", self._names))
        self._read(self._edges[0], self._edges[-1], **self._labels)
        laps = self._edges[:-1]
        for number, (start, stop) in enumerate(pairwise(laps), start=1):
            self._read(start, stop, **self._labels, epoch=number)

    @property
    def edges_ns(self) -> tuple[int, int]:
        """The window's first and last edge on the monotonic clock [ns]."""
        return self._edges[0].clock, self._edges[-1].clock

    def __getitem__(self, resource: str) -> Reading:
        """Return the total reading of *resource*, derived ones included.

        Raises KeyError with the reason where it is missing.
        """
        whole = [reading for reading in self.readings if reading.epoch is None]
        derived, lost = derive(whole, [gap for gap in self.missing if gap.epoch is None])
        for reading in [*whole, *derived]:
            if reading.resource == resource and reading.device is None:
                return reading
        reasons = [gap.reason for gap in [*self.missing, *lost] if gap.resource == resource]
        raise KeyError(f"{resource}: {reasons[0] if reasons else 'no meter of this window reads it'}")

    def _read(self, start: Marks, stop: Marks, **labels: Any) -> None:
        readings, missing = self._stack.between(start, stop, **labels)
        self.readings += readings
        self.missing += missing


def synchronize() -> None:
    """Wait until every CUDA device that this process uses through torch has done its work.

    Never imports torch and never makes a CUDA context. An error of the device is left to the code that it belongs to,
    which meets it at its next call.
    """
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return

    for index in range(cuda.device_count()):
        if cuda.memory_reserved(index) or index == cuda.current_device():
            try:
                cuda.synchronize(index)
            except Exception as error:
                _log.debug("cuda:%d could not be synchronised: %s", index, error)


def _checked(records: Any) -> list[Reading | Missing]:
    listed = list(records)
    for record in listed:
        if not isinstance(record, (Reading, Missing)):
            raise TypeError(f"between() gave {record!r}, which is neither a Reading nor a Missing")
    totals = [record.resource for record in listed if isinstance(record, Reading) and record.device is None]
    if len(totals) > len(set(totals)):
        raise ValueError(f"between() gave two totals of one resource: {', '.join(totals)}")
    return listed


def _warn_of_hang(what: str, seconds: float) -> None:
    _log.warning("%s has not returned for %.0f s", what, seconds)
