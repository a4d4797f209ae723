"""A process and all that descend from it, as /proc tells of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from harness.measuring.gate import HELD_NAME

_PROC = Path("/proc")


@frozen
class Resident:
    """What a process has in memory now and had at most in its life, in bytes."""

    now: int
    peak: int


class ProcessTree:
    """The descendants of the process *root* and itself that live, or that nobody has waited for yet.

    A process that was once found stays in the tree, also when its parent ends and another takes its place. One whose
    parent ended before anybody looked is found below *adopter*: what is new there since the first look, and in another
    process group. One that was born and waited for between two looks is not found.
    """

    def __init__(self, root: int, proc: Path = _PROC, adopter: int | None = None) -> None:
        self.root = root
        self._proc = str(proc)
        self._adopter = adopter
        self._looked = False
        self._inside = {root}
        self._outside: set[int] = set()

    def unavailable(self) -> str | None:
        """Return None if the root can be looked at, else the reason."""
        if not os.path.exists(f"{self._proc}/{self.root}/stat"):  # noqa: PTH110 (on the way of every look)
            return f"there is no {self._proc}/{self.root}/stat: no such process, or no Linux"
        return None

    def pids(self) -> list[int]:
        """Return the processes of the tree. Only those that are new since the last look are asked for their parent."""
        alive = {int(name) for name in os.listdir(self._proc) if name.isdecimal()}  # noqa: PTH208 (twice as fast)
        self._inside &= alive
        self._outside &= alive
        parents = {pid: self._parent(pid) for pid in alive - self._inside - self._outside}
        self._inside |= _below(self._inside, parents)
        # A process that ended just now may have left the tree's next one to the adopter: those below it are asked anew.
        ended = {pid for pid, parent in parents.items() if parent is None}
        self._outside |= parents.keys() - self._inside - ended - _below(ended, parents)
        self._looked = True
        return list(self._inside)

    def is_held(self) -> bool:
        """Say whether the root is a command that has not been let go yet."""
        return b"(" + HELD_NAME.encode() + b")" in self._read(self.root, "stat")

    def resident(self, pid: int) -> Resident | None:
        """Return the memory of *pid*; None where it has ended or has not yet executed its command."""
        status = self._read(pid, "status")
        if b"\nVmRSS:" not in status or status.startswith(b"Name:\t" + HELD_NAME.encode() + b"\n"):
            return None
        return Resident(now=_kilobytes(status, b"\nVmRSS:"), peak=_kilobytes(status, b"\nVmHWM:"))

    def proportional(self, pid: int, otherwise: int) -> int:
        """Return the memory [B] of *pid*, a page that N processes have counted as 1/N; *otherwise* if nobody tells."""
        rollup = self._read(pid, "smaps_rollup")
        return _kilobytes(rollup, b"\nPss:") if b"\nPss:" in rollup else otherwise

    def held_peak(self) -> int | None:
        """Return the peak [B] of the root while it is held; None where it is not."""
        status = self._read(self.root, "status")
        return _kilobytes(status, b"\nVmHWM:") if self.is_held() and b"\nVmHWM:" in status else None

    def held_seconds(self) -> float | None:
        """Return the CPU seconds of the root, which has one thread while it is held, None where nobody tells."""
        times = self._read(self.root, "schedstat").split()
        return int(times[0]) / 1e9 if times and times[0] != b"0" and self.is_held() else None

    def has_ended(self) -> bool:
        """Say whether the root has ended; nobody has asked for its exit code yet."""
        return self._fields(self.root)[:1] in ([], [b"Z"])

    def ticks(self, pid: int) -> int:
        """Return the CPU time of *pid* and of the children that it waited for, in clock ticks; 0 if it is gone."""
        fields = self._fields(pid)
        return sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime (proc(5))

    def faults(self, pid: int) -> tuple[int, int]:
        """Return the page faults of *pid*, and those of the children that it waited for; none if it is gone."""
        fields = self._fields(pid)
        minor, of_children, major, major_of_children = map(int, fields[7:11] or (0, 0, 0, 0))  # proc(5)
        return minor + major, of_children + major_of_children

    def _parent(self, pid: int) -> int | None:
        """Return the parent, of an orphan the root; None if *pid* is gone."""
        fields = self._fields(pid)
        if not fields:
            return None
        parent, group = int(fields[1]), int(fields[2])
        return self.root if parent == self._adopter and self._looked and group != os.getpgrp() else parent

    def _fields(self, pid: int) -> list[bytes]:
        """Return the fields of /proc/PID/stat from the state on; the name before may hold blanks and brackets."""
        return self._read(pid, "stat").rpartition(b")")[2].split()

    def _read(self, pid: int, name: str) -> bytes:
        """Return the file's content, empty if the process has ended."""
        try:
            descriptor = os.open(f"{self._proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(descriptor, 8192)
        except OSError:
            return b""
        finally:
            os.close(descriptor)


def _below(roots: set[int], parents: Mapping[int, int | None]) -> set[int]:
    """Return those in *parents* that descend from *roots*."""
    found = set(roots)
    while joining := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= joining
    return found - roots


def _kilobytes(status: bytes, label: bytes) -> int:
    at = status.index(label) + len(label)
    return int(status[at : status.index(b"kB", at)]) * 1024
