"""Ctrl-C, SIGTERM and SIGHUP as a fact to be asked for, never an exception in the middle of a commit.

And Ctrl-C where it is an exception: told from a KeyboardInterrupt that a plugin raises of its own accord.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether and how often the user asked to stop. `fileno()` becomes readable when that happens."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.count = 0
        self._breakable = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """Return a descriptor that is readable once the stop was asked for, for a selector."""
        return self._read

    def ask(self, signum: int, frame: FrameType | None = None) -> None:
        """Ask to stop because of the signal *signum*."""
        self.signum = signum if self.signum is None else self.signum
        self.count += 1
        with contextlib.suppress(BlockingIOError):  # full of what was not read yet: readable all the same
            os.write(self._write, b"!")
        if self._breakable and self.count > 1:
            raise KeyboardInterrupt

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """Have the second and later signals raise KeyboardInterrupt in the block: a plugin's code, which may hang."""
        self._breakable = True
        try:
            yield
        finally:
            self._breakable = False

    def again(self) -> Stop:
        """Return this stop as the wait for a next time: `fileno()` is readable only if it is asked once more."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)
        return self

    @property
    def asked(self) -> bool:
        return self.signum is not None

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self._read)
        os.close(self._write)


def block_signals() -> None:
    """Leave every signal to the other threads: Python's handlers run in the main thread, which must wake for them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


class CtrlC:
    """A handler of SIGINT that raises KeyboardInterrupt as Python's own does, and remembers that it did."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt


@contextmanager
def ctrl_c_remembered() -> Iterator[None]:
    """Have `is_ctrl_c` know the user's Ctrl-C from what a plugin raises, in the main thread of a program of ours."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return

    signal.signal(signal.SIGINT, CtrlC())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def is_ctrl_c(error: BaseException) -> bool:
    """Say whether *error* is the user's Ctrl-C. Where nobody remembers it, every KeyboardInterrupt is taken for it."""
    if not isinstance(error, KeyboardInterrupt):
        return False

    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, CtrlC):
        return handler.came
    return not isinstance(getattr(handler, "__self__", None), Stop)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Yield a `Stop` that SIGINT, SIGTERM and SIGHUP ask; the handlers before are put back afterwards.

    Outside the main thread, where Python allows no handlers, nothing asks it.
    """
    stop = Stop()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # A signal that is ignored on purpose stays so (nohup ignores SIGHUP).
        heeded = [signum for signum in _SIGNALS if signal.getsignal(signum) is not signal.SIG_IGN]
        before = {signum: signal.signal(signum, stop.ask) for signum in heeded}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        stop.close()
