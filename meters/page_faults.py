"""How many pages the processes of a tree may have copied or unmapped since a moment: at most one for each fault."""

from __future__ import annotations

import resource
from collections.abc import Iterable

from harness.meters.process_tree import ProcessTree

# Added where faults may have gone uncounted: more pages than any machine has.
_UNKNOWN = 1 << 40


class PageFaults:
    """Counts the page faults of a tree's processes, from looks at them, and misses none.

    Those of a process that has ended are in what its parent waited for. Where the parent ignores what becomes of its
    children they are lost, and the count goes up by more than they can have been.
    """

    def __init__(self, tree: ProcessTree) -> None:
        self._tree = tree
        self._last: dict[int, tuple[int, int]] = {0: (0, _waited_for_here())}
        self._count = 0

    def count(self, pids: Iterable[int]) -> int:
        """Return a count of faults that only grows, with all until now of *pids*, which are the tree's now."""
        now = {pid: self._tree.faults(pid) for pid in pids}
        now[0] = 0, _waited_for_here()
        gone = sum(sum(faults) for pid, faults in self._last.items() if pid not in now)
        waited = sum(now[pid][1] - self._last.get(pid, (0, 0))[1] for pid in now)
        grown = sum(map(sum, now.values())) - sum(map(sum, self._last.values()))
        self._count += grown if waited >= gone else _UNKNOWN
        self._last = now
        return self._count


def _waited_for_here() -> int:
    """Return the faults of processes that this one has waited for, the tree's orphans among them."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_minflt + usage.ru_majflt
