"""The terminal of this process's session: whose it is, and lending it to the group of a command."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

_PROC = Path("/proc")


class Terminal:
    """The terminal that controls this process, whatever stdin is, if it has one. `lent` while a command's group has it.

    It is `shared` if others of this process's group may use it at the same time: those of its pipeline.
    """

    def __init__(self) -> None:
        self.lent = False
        self.shared = False
        self._descriptor: int | None = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Have it in the block, and be sure that it is this process's again after it."""
        with contextlib.suppress(OSError):  # there is none
            self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self.shared = self._descriptor is not None and _group_is_shared()
        try:
            yield
        finally:
            self.take_back()
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def lend(self, group: int) -> bool:
        """Make *group* the foreground one if this process's is; say whether it became that."""
        if self._descriptor is None or not self._is_ours(self._descriptor):
            return False
        self.lent = _set_foreground(self._descriptor, group)
        return self.lent

    def take_back(self) -> None:
        """Make this process's group the foreground one again if it lent that place."""
        if self.lent and self._descriptor is not None:
            _set_foreground(self._descriptor, os.getpgrp())
        self.lent = False

    @staticmethod
    def _is_ours(descriptor: int) -> bool:
        try:
            return os.tcgetpgrp(descriptor) == os.getpgrp()
        except OSError:  # it has gone
            return False


def _set_foreground(descriptor: int, group: int) -> bool:
    """Say whether it worked; a process in the background is stopped for trying unless it blocks SIGTTOU."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        os.tcsetpgrp(descriptor, group)
    except OSError:  # the terminal has gone, or the group
        return False
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return True


@frozen
class _Process:
    parent: int
    group: int
    zombie: bool


def _group_is_shared(proc: Path = _PROC) -> bool:
    """Say whether a process of this one's group neither waits for this one, as a script does, nor is its child."""
    own, group = os.getpid(), os.getpgrp()
    processes = dict(_processes(proc))
    waiting, pid = {0}, own
    while pid not in waiting:
        waiting.add(pid)
        pid = processes[pid].parent if pid in processes else 0
    return any(
        process.group == group and pid not in waiting and process.parent != own and not process.zombie
        for pid, process in processes.items()
    )


def _processes(proc: Path) -> Iterator[tuple[int, _Process]]:
    for folder in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            state, parent, group = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:3]
            yield int(folder.name), _Process(int(parent), int(group), zombie=state in (b"Z", b"X"))
