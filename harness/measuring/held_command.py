"""A command in a process group of its own, held back until it is let go, with the signals and the terminal it needs.

It is started by a small process that forks once more and ends: what a process was before it executes a program counts
into its peak of memory for the kernel, and should be small and the same whatever started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from harness.errors import HarnessError

# What the process is called in /proc while it is held; executing the command gives it the command's name.
HELD_NAME = "harness-held"
# As env, timeout and nohup have it.
CANNOT_RUN = 126
NOT_FOUND = 127
FAILED = 125

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PR_GET_CHILD_SUBREAPER = 37

# Runs without site-packages, in 10 ms. All signals are blocked from before its start until the last moment, so that
# one that comes early meets the command. ENOEXEC is a script without `#!`, which shells and execvp(3) give to sh.
_GATE = """
import os, signal, sys
gate, told, adopted, mask, *command = sys.argv[1:]
gate, told = int(gate), int(told)
if adopted == "1" and os.fork():
    os._exit(0)
os.setpgid(0, 0)
try:
    with open("/proc/self/comm", "w") as name:
        name.write("{name}")
except OSError:
    pass
os.write(told, b"%d\\n" % os.getpid())
os.set_inheritable(told, False)
if not os.read(gate, 1):
    os._exit(125)
os.close(gate)
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, [int(number) for number in mask.split(",") if number])
try:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        if error.errno != 8:
            raise
        import shutil
        os.execv("/bin/sh", ["sh", shutil.which(command[0]) or command[0], *command[1:]])
except OSError as error:
    os.write(told, b"%d" % error.errno)
os._exit(126)
"""


class HeldCommand:
    """The process of *command*. It begins in `__enter__`, held; `release` lets it execute the command.

    `pid` is its process and its group. `fault` is the error number with which the command could not be executed.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.pid = 0
        self.fault: int | None = None
        self._gate = self._told = -1
        self._ended = False
        self._reaped: tuple[int, resource.struct_rusage] | None = None

    def __enter__(self) -> HeldCommand:
        theirs, self._gate = os.pipe()
        self._told, tells = os.pipe()
        with _adopting() as adopting:
            starter = self._spawn(theirs, tells, adopting)
            if adopting:
                os.waitpid(starter, 0)
        self.pid = self._read_pid()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the end of the command, which comes at once if it was never let go."""
        self._close_gate()
        if self._reaped is None:
            self.wait()
            self.reap()
        os.close(self._told)

    def release(self) -> None:
        """Let the command be executed."""
        os.write(self._gate, b"!")
        self._close_gate()

    def wait(self, stopped: int = 0) -> int | None:
        """Block until the command has ended, and leave it a zombie, whose CPU time can still be read: return None.

        With os.WSTOPPED as *stopped* return also when a signal stops it: that signal.
        """
        state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | stopped)
        if state is not None and state.si_code in (os.CLD_STOPPED, os.CLD_TRAPPED):
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)  # told once
            return state.si_status
        self._ended = True
        return None

    def reap(self) -> int:
        """Return the exit code of the command that has ended, 128 + n for signal n."""
        status = self._wait4()[0]
        self.fault = self._read_fault() or self.fault
        if self.fault is not None:
            return NOT_FOUND if self.fault in (errno.ENOENT, errno.ENOTDIR) else CANNOT_RUN
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def usage(self) -> resource.struct_rusage | None:
        """Return what the kernel counted of the command and the children it waited for; None while it runs.

        Takes the zombie away: ask after the last edge.
        """
        return self._wait4()[1] if self._ended else None

    def signal(self, signum: int) -> None:
        """Send *signum* to the command's group, if there is one that is still ours."""
        if self.pid and self._reaped is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signum)

    def _spawn(self, theirs: int, tells: int, adopting: bool) -> int:
        """Start the process that is held, or the one that forks it, and return its id; closes both descriptors."""
        mask = ",".join(str(int(number)) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        words = [str(theirs), str(tells), str(int(adopting)), mask, *self.command]
        arguments = [sys.executable, "-I", "-S", "-c", _GATE.replace("{name}", HELD_NAME), *words]
        try:
            for descriptor in (theirs, tells):
                os.set_inheritable(descriptor, True)
            return os.posix_spawn(sys.executable, arguments, os.environ, setsigmask=signal.valid_signals())
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
        return self._reaped

    def _read_fault(self) -> int | None:
        told = os.read(self._told, 16)
        return int(told) if told else None

    def _close_gate(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1


@contextmanager
def _adopting() -> Iterator[bool]:
    """Have grandchildren whose parent ends become this process's children; yield False where that cannot be.

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
