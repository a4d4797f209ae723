"""The meters of a process as one: synchronised, in order, and guarded from each other."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from attrs import evolve, frozen

from harness.errors import told
from harness.interruption import is_ctrl_c
from harness.measuring.sampler import Sampler, quick_turns
from harness.measuring.watchdog import HANG_SECONDS, Watchdog
from harness.measuring.window import EdgeKind, Marks, Window
from harness.meter import SharpMeter, StackedMeter, edge_order
from harness.records import Missing, Reading

_log = logging.getLogger(__name__)

# How long a device may take to be opened or read: not within a metered stretch, so it may be slow.
SLOW_SECONDS = 120.0


@frozen
class _Fault:
    reason: str


class MeterStack:
    """Opens meters once and takes windows with them.

    Each call of a meter is guarded: one that raises loses its own readings, with the reason, nobody else's. A call
    that hangs is named by `on_hang(what, seconds)` from the watchdog's thread. `sampler` is the background thread that
    meters share.
    """

    def __init__(self, on_hang: Callable[[str, float], None] | None = None) -> None:
        self._meters: dict[str, StackedMeter] = {}
        self._lost: dict[str, _Fault] = {}
        # Two locks: reading a sharp window waits for its devices, and must not hold up the edges of others.
        self._marking = threading.RLock()
        self._reading = threading.RLock()
        self._dog = Watchdog(on_hang or _warn_of_hang)
        self.sampler = Sampler(self._dog)
        self.open_windows: set[int] = set()

    def __enter__(self) -> MeterStack:
        self._dog.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, meters: Iterable[StackedMeter]) -> None:
        """Open *meters* that are not yet here. One that is unavailable or raises is lost for good, with the reason."""
        with self._marking:
            for stacked in meters:
                if stacked.name not in self._meters:
                    self._meters[stacked.name] = stacked
                    self._open(stacked)

    @property
    def sampling_seconds(self) -> float:
        """The CPU time that the sampler's jobs have taken so far."""
        return self.sampler.busy_seconds

    def __contains__(self, name: str) -> bool:
        return name in self._meters

    def close(self) -> None:
        """Close every meter that was opened, the last first."""
        with self._reading, self._marking:
            for stacked in reversed(self._meters.values()):
                if stacked.name not in self._lost:
                    self._guarded(stacked, "close", stacked.meter.close)
            self._meters.clear()
        self.sampler.close()
        self._dog.close()

    def edge(
        self, edge: EdgeKind, names: Sequence[str] | None = None, *, sharp: bool = False, settle: bool = True
    ) -> Marks:
        """Take one edge of the meters *names* (None: of all). What a meter raises is kept in its place.

        Waits for the device at the first and the last edge of a window, not at a lap; before the first of a *sharp*
        window, where *settle*, also for meters that then know better when it begins.
        """
        if edge != "lap":
            synchronize()
        with self._marking:
            chosen = [self._meters[name] for name in (self._meters if names is None else names)]
        chosen.sort(key=lambda stacked: edge_order(stacked.resources))
        if not sharp:
            return self._take(chosen, edge)
        # Or a thread that computes would come between two meters' marks, for 5 ms each time.
        with quick_turns:
            if settle and edge == "start":
                self._settle(chosen)
            taken = self._take(chosen, edge)
            self._sharpen(chosen, taken)
            return taken

    def _take(self, chosen: Sequence[StackedMeter], edge: EdgeKind) -> Marks:
        """Mark the meters in this order and then the clock, or the other way round, as the *edge* is."""
        marks: dict[str, Any] = {}
        spans: dict[str, tuple[int, int]] = {}
        with self._marking:
            first = before = time.monotonic_ns()
            for stacked in chosen if edge == "start" else reversed(chosen):
                marks[stacked.name] = self._mark(stacked)
                after = time.monotonic_ns()
                spans[stacked.name], before = (before, after), after
        clock = before if edge == "start" else first
        seconds = {name: (after - before) / 1e9 for name, (before, after) in spans.items()}
        apart = {name: max(clock - before, after - clock) / 1e9 for name, (before, after) in spans.items()}
        return Marks(clock, marks, seconds, apart)

    def between(self, start: Marks, stop: Marks, **labels: Any) -> tuple[list[Reading], list[Missing]]:
        """Return the readings from *start* to *stop* and what is missing, both with *labels* (trial, phase, epoch)."""
        readings: list[Reading] = []
        missing: list[Missing] = []
        with self._reading:
            for stacked in [self._meters[name] for name in list(self._meters) if name in start.marks]:
                for record in self._of_one(stacked, start, stop):
                    if isinstance(record, Reading):
                        readings.append(_placed(record, stacked.name, start, stop, labels))
                    else:
                        missing.append(evolve(record, meter=stacked.name, **labels))
        return readings, missing

    @contextmanager
    def window(
        self, names: Sequence[str] | None = None, *, sharp: bool = False, pue: float = 1.0, **labels: Any
    ) -> Iterator[Window]:
        """Meter the block with the meters *names* (None: all). The readings are there after it, also when it raises."""
        window = Window(self, names, labels, sharp=sharp, pue=pue)
        try:
            yield window
        finally:
            window.stop()

    def facts(self) -> dict[str, Mapping[str, Any]]:
        """Return what each meter that has something to say tells of its devices, by the meter's name."""
        told: dict[str, Mapping[str, Any]] = {}
        with self._reading:
            for stacked in self._meters.values():
                facts = getattr(stacked.meter, "facts", None)
                if facts is not None and stacked.name not in self._lost:
                    answer = self._guarded(stacked, "facts", facts)
                    told[stacked.name] = {"fault": answer.reason} if isinstance(answer, _Fault) else dict(answer)
        return told

    def _open(self, stacked: StackedMeter) -> None:
        result = self._guarded(stacked, "unavailable", stacked.meter.unavailable)
        if result is None:
            result = self._guarded(stacked, "open", stacked.meter.open)
        if result is not None:
            self._lost[stacked.name] = result if isinstance(result, _Fault) else _Fault(str(result))

    def _settle(self, chosen: Iterable[StackedMeter]) -> None:
        for stacked in chosen:
            if stacked.name not in self._lost and isinstance(stacked.meter, SharpMeter):
                self._guarded(stacked, "settle", stacked.meter.settle)

    def _sharpen(self, chosen: Iterable[StackedMeter], taken: Marks) -> None:
        for stacked in chosen:
            meter, mark = stacked.meter, taken.marks[stacked.name]
            if isinstance(meter, SharpMeter) and not isinstance(mark, _Fault):
                self._guarded(stacked, "sharpen", partial(meter.sharpen, mark))

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
        limit = HANG_SECONDS if operation in ("mark", "sharpen") else SLOW_SECONDS
        self._dog.begin(f"meter {stacked.name!r} in {operation}()", limit)
        try:
            return call()
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            return _Fault(f"{operation}() raised {told(error)}")
        finally:
            self._dog.end()


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


def _placed(record: Reading, name: str, start: Marks, stop: Marks, labels: Mapping[str, Any]) -> Reading:
    """Return *record* with its labels and edges; energy is as much less certain as the edges lie beside the clock."""
    uncertainty = record.uncertainty
    if record.resource.startswith("energy") and stop.clock > start.clock:
        # At twice the window's mean power: at an edge it may be higher.
        watts = 2 * record.value / ((stop.clock - start.clock) / 1e9)
        uncertainty += watts * (start.apart[name] + stop.apart[name])
    return evolve(record, meter=name, uncertainty=uncertainty, start_ns=start.clock, stop_ns=stop.clock, **labels)


def _warn_of_hang(what: str, seconds: float) -> None:
    _log.warning("%s has not returned for %.0f s", what, seconds)
