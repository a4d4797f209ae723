"""A command in a process group of its own, held back until it is let go, with the signals and the terminal it needs.

It is started by a small process that forks once more and ends: what a process was before it executes a program counts
into its peak of memory for the kernel, and should be small and the same whatever started it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from harness.errors import HarnessError
from harness.measuring.gate import spawn_gate
from harness.measuring.orphans import Orphans, adopting, together, told_of_children

# As env, timeout and nohup have it.
CANNOT_RUN = 126
NOT_FOUND = 127
FAILED = 125


class HeldCommand:
    """The process of *command*. It begins in `__enter__`, held; `release` lets it execute the command.

    `pid` is its process and its group. `fault` is the error number with which the command could not be executed;
    `lost` says that it ended while it was held. One at a time: processes that the command leaves behind are this
    process's until `__exit__`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.pid = 0
        self.fault: int | None = None
        self.lost = False
        self._gate = self._told = -1
        self._ended = False
        self._reaped: tuple[int, resource.struct_rusage] | None = None
        self._orphans = Orphans()
        self._left: tuple[resource.struct_rusage, ...] = ()
        self._leaving = ExitStack()

    def __enter__(self) -> HeldCommand:
        with ExitStack() as leaving:
            ignored = leaving.enter_context(told_of_children())
            adopted = leaving.enter_context(adopting())
            starter = self._spawn(adopted, ignored, leaving)
            if adopted:
                os.waitpid(starter, 0)
            self.pid = self._read_pid()
            self._leaving = leaving.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the end of the command, which comes at once if it was never let go."""
        with self._leaving:
            self._close_gate()
            if self._reaped is None:
                self.wait()
                self.reap()
            self._orphans.reap_all()

    def release(self) -> None:
        """Let the command be executed."""
        with contextlib.suppress(BrokenPipeError):  # it has been killed
            os.write(self._gate, b"!")
        self._close_gate()

    def wait(self, stopped: int = 0) -> int | None:
        """Block until the command has ended, and leave it a zombie, whose CPU time can still be read: return None.

        With os.WSTOPPED as *stopped* return also when a signal stops it: that signal.
        """
        kinds = os.WEXITED | stopped
        while (state := os.waitid(os.P_PID, self.pid, kinds | os.WNOWAIT | os.WNOHANG)) is None:
            self._orphans.wait_until(self.pid, kinds)
        if state.si_code in (os.CLD_STOPPED, os.CLD_TRAPPED):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)  # told once
            return state.si_status
        self._left = tuple(self._orphans.usages)
        self._ended = True
        return None

    def reap(self) -> int:
        """Return the exit code of the command that has ended, 128 + n for signal n."""
        status = self._wait4()[0]
        if self.fault is not None:
            return NOT_FOUND if self.fault in (errno.ENOENT, errno.ENOTDIR) else CANNOT_RUN
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def usage(self) -> resource.struct_rusage | None:
        """Return what the kernel counted of the command and of those it left that ended before; None while it runs.

        Takes the zombie away: ask after the last edge.
        """
        return together([self._wait4()[1], *self._left]) if self._ended else None

    def signal(self, signum: int) -> None:
        """Send *signum* to the command's group, and to its process where that is in another by now."""
        if self.pid and self._reaped is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signum)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(self.pid) != self.pid:
                    os.kill(self.pid, signum)

    def _spawn(self, adopted: bool, ignored: bool, leaving: ExitStack) -> int:
        """Start the process that is held, or the one that forks it, and return its id."""
        theirs, self._gate = os.pipe()
        leaving.callback(self._close_gate)
        self._told, tells = os.pipe()
        leaving.callback(os.close, self._told)
        try:
            return spawn_gate(theirs, tells, self.command, adopted=adopted, ignored=ignored)
        except (OSError, ValueError) as error:  # arguments that are too long, or hold a NUL
            raise HarnessError(f"cannot start a process for the command: {error}") from error
        finally:
            os.close(theirs)
            os.close(tells)

    def _read_pid(self) -> int:
        """Return the id of the process, told once it is in a group of its own."""
        line = b""
        while not line.endswith(b"\n"):  # byte by byte: what may follow is read when it has ended
            part = os.read(self._told, 1)
            if not part:
                raise HarnessError(f"cannot start a process for the command with {sys.executable!r}")
            line += part
        return int(line)

    def _wait4(self) -> tuple[int, resource.struct_rusage]:
        if self._reaped is None:
            _, status, usage = os.wait4(self.pid, 0)
            self._reaped = status, usage
            self._read_fate()
        return self._reaped

    def _read_fate(self) -> None:
        """Read what the process told before it executed the command, or failed to."""
        told = os.read(self._told, 16)
        self.lost = not told
        self.fault = int(told[1:]) if told[1:] else None

    def _close_gate(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
