"""What a command's processes leave behind when they end: it becomes this process's, so that its use is known."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PR_GET_CHILD_SUBREAPER = 37
# How long another's child that has ended, and that its owner is about to ask for, is let be [s].
_MOMENT = 0.002
_MAXRSS = 2  # the place of ru_maxrss in a struct_rusage


class Orphans:
    """The children that this process got from others, which had ended: those that are in another process group.

    One that ends is waited for at once, as init would, and what it used is kept in `usages`.
    """

    def __init__(self) -> None:
        self.usages: list[resource.struct_rusage] = []

    def wait_until(self, pid: int, kinds: int) -> None:
        """Block until there is something to tell of the child *pid*, or perhaps of another.

        *kinds* are WEXITED and WSTOPPED, as waitid(2) takes them.
        """
        state = os.waitid(os.P_ALL, 0, kinds | os.WNOWAIT)
        if state is None or state.si_pid == pid:
            return
        if state.si_code in (os.CLD_STOPPED, os.CLD_TRAPPED):
            os.waitid(os.P_PID, state.si_pid, os.WSTOPPED | os.WNOHANG)
        elif not self._reap(state.si_pid):
            time.sleep(_MOMENT)

    def reap_all(self) -> None:
        """Wait for all that have ended, as far as no child of others stands before them."""
        with contextlib.suppress(ChildProcessError):
            while (state := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if not self._reap(state.si_pid):
                    return

    def _reap(self, pid: int) -> bool:
        """Wait for *pid*, which has ended, unless it is this process's own child."""
        with contextlib.suppress(OSError):  # somebody else has waited for it
            if os.getpgid(pid) == os.getpgrp():
                return False
            self.usages.append(os.wait4(pid, 0)[2])
        return True


def together(usages: Sequence[resource.struct_rusage]) -> resource.struct_rusage:
    """Return what several processes used: the sum, and the greatest of their peaks."""
    columns = list(zip(*usages, strict=True))
    return resource.struct_rusage(max(c) if place == _MAXRSS else sum(c) for place, c in enumerate(columns))


@contextmanager
def adopting() -> Iterator[bool]:
    """Have processes below this one whose parent ends become this process's children; yield False where that fails.

    Then the process that is started is the command's own, and its peak for the kernel includes what this one holds.
    """
    if sys.platform != "linux":
        yield False
        return
    libc = ctypes.CDLL(None)
    before = ctypes.c_int(0)
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    done = libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield done
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


@contextmanager
def told_of_children() -> Iterator[bool]:
    """Have the kernel keep what becomes of children; yield whether SIGCHLD was ignored, with which it does not."""
    ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield ignored
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield True
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
