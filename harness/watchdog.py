"""One thread that notices a call that hangs, for all meters of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

HANG_SECONDS = 10.0


class Watchdog:
    """Calls `on_hang(what, seconds)` once for each watched call that takes longer than *limit* seconds.

    Its thread sleeps without waking while nothing is watched, and looks about once in *limit* seconds otherwise, so
    that it costs the metered code nothing; a hang is found within twice the limit.
    """

    def __init__(self, on_hang: Callable[[str, float], None], limit: float = HANG_SECONDS) -> None:
        self._on_hang = on_hang
        self._limit = limit
        self._current: tuple[str, float] | None = None
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

    def watching(self, what: str) -> _Watched:
        """Return a context inside which *what* is watched."""
        return _Watched(self, what)

    def begin(self, what: str) -> None:
        """Watch *what* from now on."""
        self._current = (what, time.monotonic())
        self._used = True
        if not self._wake.is_set():
            self._wake.set()

    def end(self) -> None:
        """Watch nothing."""
        self._current = None

    def _watch(self) -> None:
        told = None
        while True:
            self._wake.wait()
            self._used = False
            if self._closing.wait(self._limit):
                return
            current = self._current
            if current is not None and current is not told and time.monotonic() - current[1] >= self._limit:
                told = current
                self._on_hang(current[0], time.monotonic() - current[1])
            # Cleared first and asked afterwards: a call that begins in between is seen by one of the two.
            self._wake.clear()
            if self._used or self._current is not None:
                self._wake.set()


class _Watched:
    def __init__(self, dog: Watchdog, what: str) -> None:
        self._dog = dog
        self._what = what

    def __enter__(self) -> None:
        self._dog.begin(self._what)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dog.end()
