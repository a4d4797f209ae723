"""The small program that is held back, and then executes the command in its own place."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# What the process is called in /proc while it is held; executing the command gives it the command's name.
HELD_NAME = "harness-held"

# Runs without site-packages, in 10 ms. All signals are blocked from before its start until the last moment, so that
# one that comes early meets the command. ENOEXEC is a script without `#!`, which shells and execvp(3) give to sh.
# Python itself may add LC_CTYPE to its environment (PEP 538), so that what it was started with is asked of the kernel.
_GATE = """
import os, signal, sys
gate, told, adopted, ignored, mask, *command = sys.argv[1:]
gate, told = int(gate), int(told)
if adopted == "1" and os.fork():
    os._exit(0)
os.setpgid(0, 0)
environment = os.environ
try:
    with open("/proc/self/environ", "rb") as started:
        environment = dict(pair.split(b"=", 1) for pair in started.read().split(b"\\0") if b"=" in pair)
    with open("/proc/self/comm", "w") as name:
        name.write("{name}")
except OSError:
    pass
os.write(told, b"%d\\n" % os.getpid())
os.set_inheritable(told, False)
if not os.read(gate, 1):
    os._exit(125)
os.write(told, b"+")
os.close(gate)
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
if ignored == "1":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, [int(number) for number in mask.split(",") if number])
try:
    if not command[0]:
        raise FileNotFoundError(2, "")
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        if error.errno != 8:
            raise
        import shutil
        os.execve("/bin/sh", ["sh", shutil.which(command[0]) or command[0], *command[1:]], environment)
except OSError as error:
    os.write(told, b"%d" % error.errno)
os._exit(126)
"""


def spawn_gate(gate: int, told: int, command: Sequence[str], *, adopted: bool, ignored: bool) -> int:
    """Start the program and return its id; raises OSError or ValueError.

    Args:
        gate: what it waits to read from before it executes *command*; it ends where there is nothing to read.
        told: where it writes its id on a line, once it is in a group of its own, `+` when it is let go, and the error
            number if it cannot execute.
        command: the words.
        adopted: it forks once more and ends, and its child is the one that waits.
        ignored: SIGCHLD is to be ignored in the command.
    """
    mask = ",".join(str(int(number)) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    words = [str(gate), str(told), str(int(adopted)), str(int(ignored)), mask, *command]
    for descriptor in (gate, told):
        os.set_inheritable(descriptor, True)
    arguments = [sys.executable, "-I", "-S", "-c", _GATE.replace("{name}", HELD_NAME), *words]
    return os.posix_spawn(sys.executable, arguments, started_with(), setsigmask=signal.valid_signals())


def started_with() -> dict[bytes, bytes]:
    """Return the environment that this process was started with, which Python and plugins may have added to."""
    try:
        content = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environb)
    found: dict[bytes, bytes] = {}
    for name, equals, value in (pair.partition(b"=") for pair in content.split(b"\0")):
        if equals and name:
            found.setdefault(name, value)  # as getenv(3) finds the first of several
    return found
