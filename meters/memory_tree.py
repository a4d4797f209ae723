"""The `memory` meter of a wrapped command: the peak of all its processes together."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define

from harness.measuring.sampler import Sampler
from harness.meter import Readings
from harness.meters.cgroup import Cgroup, create_cgroup
from harness.meters.linked_marks import stretches
from harness.meters.polled_peak import SHARE, PolledPeak
from harness.meters.process_tree import ProcessTree
from harness.records import Missing, Reading

Usage = Callable[[], resource.struct_rusage | None]

PERIOD_SECONDS = 0.02
# A command may be over in a millisecond: the first looks come soon, the later ones ever more seldom.
_FIRST_SECONDS = 0.0003
_SLOWER = 1.3
# What a held process may need on top of its peak so far in order to execute the command.
_TO_EXECUTE = 1 << 20
_ELSEWHERE = "what a command has on CUDA is known only in its own processes; meter it there with harness.measure()"


@define(eq=False)
class TreeMark:
    """An edge: bounds [B] of the peak since the mark before, the cgroup's peak where there is one, and the next mark.

    `held`: the command had not been executed yet.
    """

    low: int
    high: int
    cgroup: int | None
    held: bool
    next: TreeMark | None = None


class MemoryTreeMeter:
    """The peak of the processes of a command: what its cgroup counted where there is one, else polled.

    Args:
        pid: the command's process, held.
        sampler: the thread to poll in.
        usage: gives what the kernel counted of the command, once it has ended; see `harness.meter.MeterFactory`.
        find_cgroup: makes a cgroup for the process, or says why there is none.
    """

    def __init__(
        self,
        pid: int,
        sampler: Sampler | None = None,
        usage: Usage = lambda: None,
        find_cgroup: Callable[[int], Cgroup | str] = create_cgroup,
    ) -> None:
        self._tree = ProcessTree(pid, adopter=os.getpid())
        self._own_sampler = sampler is None
        self._sampler = sampler or Sampler()
        self._usage = usage
        self._find_cgroup = find_cgroup
        self._cgroup: Cgroup | None = None
        self._polled = PolledPeak(self._tree)
        self._polling = self._closed = False
        self._delay = _FIRST_SECONDS
        self._floor: int | None = None
        self._last = TreeMark(0, 0, None, held=False)

    def unavailable(self) -> str | None:
        return self._tree.unavailable()

    def open(self) -> None:
        found = self._find_cgroup(self._tree.root)
        self._cgroup = found if isinstance(found, Cgroup) else None
        self._floor = self._tree.held_peak()

    def mark(self) -> TreeMark:
        if self._cgroup is not None:
            mark = TreeMark(0, 0, self._cgroup.read_and_reset(), held=self._tree.is_held())
        else:
            mark = TreeMark(*self._polled.take(), None, held=self._tree.is_held())
            self._begin_to_poll()
        self._last.next = self._last = mark
        return mark

    def between(self, start: TreeMark, stop: TreeMark, /) -> Readings:
        ends = list(stretches(start, stop))
        yield self._of_cgroup(ends) if self._cgroup is not None else self._of_looks(start, ends)
        yield from (Missing(name, _ELSEWHERE) for name in ("memory_cuda", "memory_cuda_reserved"))

    def close(self) -> None:
        self._closed = True
        if self._own_sampler:
            self._sampler.close()
        if self._cgroup is not None:
            self._cgroup.remove()

    def _of_cgroup(self, stretches: list[TreeMark]) -> Reading:
        assert self._cgroup is not None
        peak = max(mark.cgroup or 0 for mark in stretches)
        note = "peak of the command's cgroup, page cache included"
        return _reading(peak, Cgroup.uncertainty(), "counter", note)

    def _of_looks(self, start: TreeMark, stretches: list[TreeMark]) -> Reading | Missing:
        low = max(mark.low for mark in stretches)
        high = max(mark.high for mark in stretches)
        usage = self._usage() if start.held else None
        if usage is not None and self._floor is not None:
            # The greatest peak of one process: the kernel's, but including what it had while it was held.
            greatest, floor = usage.ru_maxrss * 1024, self._floor + _TO_EXECUTE
            low, high = max(low, greatest if greatest > floor else 0), max(high, greatest)
        if high == 0:
            return Missing("memory_host", "no process of the command could be looked at")
        # Of a command that was over during the first looks, the last one says less than the bounds do.
        steady = low > 0 and self._delay == PERIOD_SECONDS
        value = low if steady else (low + high) // 2
        bar = max(high - value, value - low) + _count_uncertainty()
        note = f"its processes added up every {PERIOD_SECONDS * 1e3:g} ms; a page that several have counts once"
        return _reading(value, bar, "sampled", note)

    def _begin_to_poll(self) -> None:
        if not self._polling:
            self._polling = True
            self._sampler.add("memory", self._poll, self._delay)

    def _poll(self) -> float | None:
        if self._closed or self._tree.has_ended():
            return None
        begun = time.perf_counter()
        self._polled.look()
        if not self._tree.is_held():
            self._delay = min(self._delay * _SLOWER, PERIOD_SECONDS)
        return max(self._delay, (time.perf_counter() - begun) / SHARE if self._delay == PERIOD_SECONDS else 0.0)


def _count_uncertainty() -> float:
    from harness.meters.memory import HostPeak

    return HostPeak.uncertainty()


def _reading(value: int, uncertainty: float, source: Any, note: str) -> Reading:
    return Reading(resource="memory_host", value=value, unit="B", uncertainty=uncertainty, source=source, note=note)


def create(options: Mapping[str, Any]) -> MemoryTreeMeter:
    """Return the meter of the process `options["pid"]`."""
    return MemoryTreeMeter(options["pid"], options.get("sampler"), options.get("ended_usage", lambda: None))
