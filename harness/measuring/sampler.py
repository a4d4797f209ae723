"""One background thread for all that must be read between the edges of windows."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from attrs import define, evolve, field

from harness.interruption import block_signals
from harness.measuring.watchdog import HANG_SECONDS, Watchdog

_log = logging.getLogger(__name__)

# Gives the seconds until it wants to be called again, None for never.
Job = Callable[[], float | None]


class QuickTurns:
    """Has Python's threads take turns much more often while somebody is inside, so that dense sampling is dense.

    A thread that computes holds the interpreter for 5 ms at a time otherwise, and every reading of a device would wait
    so long. The interval belongs to the process, so there is one of these: `quick_turns`.
    """

    def __init__(self, seconds: float = 1e-5) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0.0

    def reset(self) -> None:
        """Begin anew in a child after a fork, where nobody is inside whoever was in the parent."""
        if self._inside:
            sys.setswitchinterval(self._before)
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self._seconds, self._before))

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                sys.setswitchinterval(self._before)


quick_turns = QuickTurns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=quick_turns.reset)


@define(order=True)
class _Due:
    time: float
    number: int
    name: str = field(order=False)
    job: Job = field(order=False)
    dense: bool = field(order=False)


class Sampler:
    """Calls jobs at their times, in one daemon thread that is started with the first job and sleeps while none is due.

    A job that raises is dropped: a meter catches what its device may do and turns it into a reason.
    """

    def __init__(self, dog: Watchdog | None = None) -> None:
        self._dog = dog
        self._jobs: list[_Due] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._busy_ns = 0
        self._pid = os.getpid()

    @property
    def busy_seconds(self) -> float:
        """The CPU time that all jobs have taken so far."""
        return self._busy_ns / 1e9

    def add(self, name: str, job: Job, delay: float = 0.0, *, dense: bool = False) -> None:
        """Call *job*, on behalf of the meter *name*, in *delay* seconds; never waits for it.

        Until a *dense* job ends, threads take turns quickly, so that one that computes holds it up for little. Does
        nothing in a child after a fork, which has not got the thread. Raises RuntimeError where no thread can be had.
        """
        if os.getpid() != self._pid:
            return
        with self._changed:
            if self._closed:
                return
            self._start()
            if dense:
                quick_turns.__enter__()
            self._push(_Due(time.monotonic() + delay, next(self._number), name, job, dense))

    def close(self) -> None:
        """Drop all jobs and end the thread; one that hangs in a device is not waited for."""
        with self._changed:
            self._closed = True
            for due in self._jobs:
                _ended(due)
            self._jobs.clear()
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1)

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="harness-sampler", daemon=True)
            thread.start()
            self._thread = thread

    def _push(self, due: _Due) -> None:
        heapq.heappush(self._jobs, due)
        self._changed.notify()

    def _run(self) -> None:
        block_signals()
        while (due := self._next()) is not None:
            begun = time.thread_time_ns()
            again = self._call(due)
            self._busy_ns += time.thread_time_ns() - begun
            with self._changed:
                if again is None or self._closed:
                    _ended(due)
                else:
                    self._push(evolve(due, time=time.monotonic() + again, number=next(self._number)))

    def _next(self) -> _Due | None:
        """Wait for the next job that is due; None at the end."""
        with self._changed:
            while not self._closed:
                left = self._jobs[0].time - time.monotonic() if self._jobs else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._jobs)
                self._changed.wait(left)
        return None

    def _call(self, due: _Due) -> float | None:
        if self._dog is not None:
            self._dog.begin(f"meter {due.name!r} in its sampling", HANG_SECONDS)
        try:
            return due.job()
        except BaseException as error:
            _log.warning("meter %r raised in its sampling, which ends: %s: %s", due.name, type(error).__name__, error)
            return None
        finally:
            if self._dog is not None:
                self._dog.end()


def _ended(due: _Due) -> None:
    if due.dense:
        quick_turns.__exit__()
