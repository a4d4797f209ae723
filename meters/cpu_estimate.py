"""The `cpu-estimate` meter: busy CPU time times watts, where no counter of the processor's energy can be read."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from harness.hookspecs import hookimpl
from harness.meter import Readings
from harness.meters.process_tree import ProcessTree
from harness.records import Reading

# What CodeCarbon takes for a processor that its table does not know: 4 W for each thread (codecarbon/core/cpu.py,
# DEFAULT_POWER_PER_CORE). The truth depends on model, clock and load.
DEFAULT_WATTS = 4.0
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
# utime, stime, cutime and cstime are each cut to whole ticks.
_CUT_SECONDS = 4 * _TICK_SECONDS
_MICROSECOND = 1e-6
Usage = Callable[[], resource.struct_rusage | None]


@frozen
class CpuMark:
    """An edge: the CPU seconds of the process and of its running descendants until then, and how far off they may be.

    `held`: it had not executed its command yet; `ended`: it was a zombie, and others may run on.
    """

    own: float
    others: float
    uncertainty: float
    held: bool = False
    ended: bool = False


class CpuEstimateMeter:
    """Energy modelled from the CPU time of this process, or of the one with id *pid*, and of their descendants.

    Running children count, and those that were waited for. Of this process's own tree, not what a child used whose
    parent ended before it, or that nobody waited for. Other processes of the machine, and the power of an idle one, are
    not in it.
    """

    def __init__(self, watts: float | None = None, pid: int | None = None, usage: Usage = lambda: None) -> None:
        self._watts = watts
        self._pid = pid
        self._usage = usage
        self._tree = self._find_tree()

    def unavailable(self) -> str | None:
        return self._tree.unavailable()

    def open(self) -> None:
        # A process that was forked meters itself, not the one that made the meter.
        self._tree = self._find_tree()
        if self._pid is not None:
            self._tree.pids()  # what there is before the command is none of its

    def mark(self) -> CpuMark:
        return self._mark_self() if self._pid is None else self._mark_tree()

    def between(self, start: CpuMark, stop: CpuMark, /) -> Readings:
        stop = self._exact(start, stop)
        busy = max(0.0, stop.own + stop.others - start.own - start.others)
        watts = DEFAULT_WATTS if self._watts is None else self._watts
        clock = (start.uncertainty + stop.uncertainty) * watts
        if self._watts is None:
            bar = busy * watts / 2 + clock
            note = f"{watts:g} W for each busy thread, a default for unknown CPUs; give --cpu-watts"
        else:
            bar = clock
            note = f"{busy:.4g} s of busy CPU x {watts:g} W as given, which are taken as exact"
        yield Reading(
            resource="energy_cpu", value=busy * watts, unit="J", uncertainty=bar, source="estimated", note=note
        )

    def close(self) -> None:
        pass

    def _find_tree(self) -> ProcessTree:
        own = os.getpid()
        return ProcessTree(own) if self._pid is None else ProcessTree(self._pid, adopter=own)

    def _mark_self(self) -> CpuMark:
        ended = _ended_children()
        others = [pid for pid in self._tree.pids() if pid != self._tree.root] if _has_children() else []
        while True:
            running = sum(self._tree.ticks(pid) for pid in others)
            before, ended = ended, _ended_children()
            if before == ended:  # else a child may have been counted twice, or not at all
                break
        own = time.process_time_ns() / 1e9 + ended
        return CpuMark(own, running * _TICK_SECONDS, _MICROSECOND + len(others) * _CUT_SECONDS)

    def _mark_tree(self) -> CpuMark:
        tree = self._tree
        if (seconds := tree.held_seconds()) is not None:
            return CpuMark(seconds, 0.0, _MICROSECOND, held=True)
        pids = tree.pids()
        own = tree.ticks(tree.root)
        others = sum(tree.ticks(pid) for pid in pids if pid != tree.root)
        ended = tree.has_ended()
        return CpuMark(own * _TICK_SECONDS, others * _TICK_SECONDS, len(pids) * _CUT_SECONDS, ended=ended)

    def _exact(self, start: CpuMark, stop: CpuMark) -> CpuMark:
        """Return *stop* with what the kernel told at the end of the process, to the microsecond, if it is its end."""
        usage = self._usage() if start.held and stop.ended else None
        if usage is None:
            return stop
        return evolve(
            stop, own=usage.ru_utime + usage.ru_stime, uncertainty=stop.uncertainty - _CUT_SECONDS + _MICROSECOND
        )


def _ended_children() -> float:
    """Return the CPU seconds of all children that ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _has_children() -> bool:
    """Say whether this process has any child, without a look through /proc."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _create(options: Mapping[str, Any]) -> CpuEstimateMeter:
    return CpuEstimateMeter(options.get("cpu_watts"), options.get("pid"), options.get("ended_usage", lambda: None))


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("cpu-estimate", _create, resources=("energy_cpu",), options=("cpu_watts",), estimated=True)
