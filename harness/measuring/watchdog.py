"""One thread that notices a call that hangs, for all meters of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.interruption import block_signals

# What a call that never waits may take, on a machine that is very busy.
HANG_SECONDS = 10.0
_Call = tuple[str, float, float]


class Watchdog:
    """Calls `on_hang(what, seconds)` once for each watched call that takes longer than its limit.

    Each thread has one call watched at a time. The watching thread sleeps without waking while nothing is watched, and
    looks about once in *period* seconds otherwise, so that it costs the metered code nothing; a hang is found at most
    one period after its limit.
    """

    def __init__(self, on_hang: Callable[[str, float], None], period: float = HANG_SECONDS) -> None:
        self._on_hang = on_hang
        self._period = period
        self._current: dict[int, _Call] = {}
        self._used = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="harness-watchdog", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; it is not waited for while it is in `on_hang`."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=1)

    def begin(self, what: str, limit: float = HANG_SECONDS) -> None:
        """Watch *what*, which this thread does and should take less than *limit* seconds, from now on."""
        self._current[threading.get_ident()] = (what, time.monotonic(), limit)
        self._used = True
        if not self._wake.is_set():
            self._wake.set()

    def end(self) -> None:
        """Watch nothing that this thread does."""
        self._current.pop(threading.get_ident(), None)

    def _watch(self) -> None:
        block_signals()
        told: set[_Call] = set()
        while True:
            self._wake.wait()
            self._used = False
            if self._closing.wait(self._period):
                return
            told = self._tell_hangs(told)
            # Cleared first and asked afterwards: a call that begins in between is seen by one of the two.
            self._wake.clear()
            if self._used or self._current:
                self._wake.set()

    def _tell_hangs(self, told: set[_Call]) -> set[_Call]:
        """Tell of the calls that hang and are not *told* of yet; return all that hang."""
        now = time.monotonic()
        hanging = {call for call in list(self._current.values()) if now - call[1] >= call[2]}
        for what, begun, _ in hanging - told:
            self._on_hang(what, now - begun)
        return hanging
