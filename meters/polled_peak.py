"""What the processes of a command have in memory together at most, from looks at them now and then."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping

from attrs import frozen

from harness.meters.page_faults import PageFaults
from harness.meters.process_tree import ProcessTree, Resident

# Looking takes this part of one core's time at the most, however many processes the machine has.
SHARE = 0.05
# By how much processes that share pages have grown when these are counted anew.
_GROWN = 1.05
_PAGE = os.sysconf("SC_PAGE_SIZE")


@frozen
class _Shared:
    """How many bytes were counted more than once, in how many, and after how many faults; good until then.

    `lost`: how many more that may be, of which processes let go while they were counted.
    """

    size: int = 0
    total: int = 0
    faults: int = 0
    until: float = 0.0
    lost: int = 0


class PolledPeak:
    """Bounds of what the processes of a tree have resident together, from looks at them.

    Between two looks that was at most the sum of the processes' own peaks, and at least the greatest new one of them.
    A page that several processes have counts once. One that they had in common may have been copied since, which takes
    a fault each, and which the processes' sizes do not show.
    """

    def __init__(self, tree: ProcessTree) -> None:
        self._tree = tree
        self._lock = threading.Lock()
        self._last: dict[int, Resident] = {}
        self._low = self._high = 0
        self._shared = _Shared()
        self._faults = PageFaults(tree)

    def look(self) -> None:
        """Look at all processes now. From any thread."""
        with self._lock:
            pids = self._tree.pids()
            now = {pid: memory for pid in pids if (memory := self._tree.resident(pid)) is not None}
            grown = [m.peak for pid, m in now.items() if pid not in self._last or m.peak > self._last[pid].peak]
            gone = [memory.peak for pid, memory in self._last.items() if pid not in now]
            faults = self._faults.count(pids)
            before, self._shared = self._shared, self._count_shared(now, faults)
            total = sum(memory.now for memory in now.values())
            most = sum(memory.peak for memory in now.values()) + sum(gone) - self._shared_at_least(before, now, faults)
            self._low = max([self._low, total - self._shared.size - self._shared.lost, *grown])
            self._high = max(self._high, self._low, most)
            self._last = now

    def take(self) -> tuple[int, int]:
        """Return the least and the most [B] that the peak since the last call can be, and begin anew."""
        self.look()
        with self._lock:
            taken = self._low, self._high
            self._low = self._high = 0
        return taken

    def _count_shared(self, now: Mapping[int, Resident], faults: int) -> _Shared:
        """Return how many bytes processes have in common, *faults* until now.

        To count them takes the kernel milliseconds for each gigabyte: only done anew where processes have come or
        gone, or have grown, or have had faults and the last time is long ago for what it took.
        """
        total = sum(memory.now for memory in now.values())
        if len(now) < 2:
            return _Shared(faults=faults)
        begun = time.perf_counter()
        late = begun > self._shared.until and faults > self._shared.faults
        if now.keys() == self._last.keys() and total <= self._shared.total * _GROWN and not late:
            return self._shared
        once = sum(min(memory.now, self._tree.proportional(pid, memory.now)) for pid, memory in now.items())
        lost = self._let_go(now)
        took = time.perf_counter() - begun
        return _Shared(total - once, total, faults, begun + took + took / SHARE, lost)

    def _let_go(self, before: Mapping[int, Resident]) -> int:
        """Return how many bytes processes have let go since *before*, all of those that have ended.

        What one shared may have been counted as its own, and as another's too, which had it alone by then.
        """
        after = {pid: self._tree.resident(pid) for pid in before}
        return sum(max(0, before[pid].now - (memory.now if memory else 0)) for pid, memory in after.items())

    def _shared_at_least(self, before: _Shared, now: Mapping[int, Resident], faults: int) -> int:
        """Return what processes have had in common at all times since the last look; *faults* until now."""
        sizes = before.size, self._shared.size
        if self._last.keys() - now.keys():
            size = max(sizes)  # what they had in common with those that have gone, too
        elif now.keys() - self._last.keys():
            size = self._shared.size
        else:
            size = min(sizes)
        return max(0, size - (faults - before.faults) * _PAGE)
