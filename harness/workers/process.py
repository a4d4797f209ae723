"""A worker process from the inside, and what both of its sides share: frames on a socket, process groups, words.

Light on purpose: every worker that is spawned imports this before anything else.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import fcntl
import os
import pkgutil
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import util
from pathlib import Path
from typing import NoReturn

from harness.interruption import CtrlC, block_signals

Send = Callable[[bytes], None]

# What the reaper of a worker writes: first the process id; at the end the return code as subprocess gives it, and
# whether other processes of the worker's group outlived it.
PID = struct.Struct("!i")
END = struct.Struct("!i?")

_LENGTH = struct.Struct("!I")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def write_frame(channel: socket.socket, message: bytes) -> None:
    """Send *message* with its length before it; waits while the other side does not read. Raises OSError."""
    channel.sendall(_LENGTH.pack(len(message)) + message)


def read_frame(channel: socket.socket) -> bytes:
    """Return the next whole message; waits for it. Raises EOFError where the other side ends before."""
    (length,) = _LENGTH.unpack(read_exactly(channel, _LENGTH.size))
    return read_exactly(channel, length)


def read_exactly(channel: socket.socket, size: int) -> bytes:
    """Return the next *size* bytes; waits for them. Raises EOFError as `read_frame`."""
    received = bytearray()
    while len(received) < size:
        part = channel.recv(size - len(received))
        if not part:
            raise EOFError("the other side of the channel ended")
        received += part
    return bytes(received)


def take_frame(buffer: bytearray) -> bytes | None:
    """Remove the first message from *buffer* and return it, or None while it is not whole."""
    if len(buffer) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(buffer)
    stop = _LENGTH.size + length
    if len(buffer) < stop:
        return None

    message = bytes(buffer[_LENGTH.size : stop])
    del buffer[:stop]
    return message


def describe_end(returncode: int | None) -> str:
    """Return in words how a process ended that sent no result; *returncode* as subprocess gives it."""
    if returncode is None:
        return "still running"
    if returncode == 0:
        return "ended without a result"
    if returncode > 0:
        return f"exit code {returncode}"
    known = {number.value: number.name for number in signal.Signals}
    return f"killed by {known.get(-returncode, f'signal {-returncode}')}"


def signal_group(group: int, signum: int) -> bool:
    """Send *signum* to each process of *group*; False where none is left."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        return False
    return True


def end_record(pid: int, returncode: int) -> bytes:
    """Return what to tell of the worker *pid* that was just reaped, after killing what is left of its group.

    The number cannot have gone to another group yet: the kernel hands process ids out in a circle, and gives none
    that is still the number of a group.
    """
    return END.pack(returncode, signal_group(pid, signal.SIGKILL))


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGKILL when the thread that started this process ends; exit now if that was before.

    Nothing but the check where there is no Linux.
    """
    set_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def set_death_signal(signum: int) -> None:
    """Choose the signal that comes when the parent ends, 0 for none. No effect but on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signum)


def main(channel_fd: int, runner: int) -> NoReturn:
    """Be the spawned worker of the process *runner*, on the socket *channel_fd*."""
    work(socket.socket(fileno=channel_fd), runner)


def work(channel: socket.socket, parent: int) -> NoReturn:
    """Turn this process, a child of *parent*, into a worker, do the work that *channel* brings, and end.

    It brings the lifeline, then four messages: the name and the payload of the setup (empty: none), and those of
    the target.
    """
    code = 1
    try:
        _settle(channel, parent)
        _take_lifeline(channel)
        setup, setup_payload, target, payload = [read_frame(channel) for _ in range(4)]
        code = _exit_code(lambda: _call(setup, setup_payload, target, payload, _sender(channel)))
        atexit._run_exitfuncs()
    except EOFError:
        pass  # the runner ended before it said what to do
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _settle(channel: socket.socket, parent: int) -> None:
    """Leave behind what came from the process that this one was started or forked by."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    die_with_parent(parent)
    channel.set_inheritable(False)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, CtrlC())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # As multiprocessing does: the parent's exit handlers are the parent's (they may delete its files).
    atexit._clear()
    atexit.register(util._exit_function)  # type: ignore[attr-defined]  # left out of typeshed
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # no such comfort where stderr has no descriptor
        faulthandler.enable()
    # Where memory runs out, the kernel should take a trial rather than the runner.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _take_lifeline(channel: socket.socket) -> None:
    """Receive the socket whose other end only the runner has, and have the whole group killed when that is closed.

    The death signal comes to this process alone, at once, and would leave its children behind. So the kernel is to
    kill the group: it closes the runner's files before it sends death signals, and needs no thread of ours to run.
    """
    _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    if not descriptors:
        raise EOFError("the runner ended before it said what to do")
    (lifeline,) = descriptors  # stays open as long as this process
    os.set_inheritable(lifeline, False)
    if sys.platform != "linux":
        threading.Thread(target=_end_with_runner, args=[lifeline], name="lifeline", daemon=True).start()
        return
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _end_with_runner(lifeline: int) -> None:
    """Wait until the other end of *lifeline* is closed, then kill the group: for systems whose kernel does not."""
    block_signals()
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    signal_group(os.getpid(), signal.SIGKILL)


def _sender(channel: socket.socket) -> Send:
    lock = threading.Lock()

    def send(message: bytes) -> None:
        """Send *message* to the runner, from any thread. Raises OSError where the runner is gone."""
        with lock:
            write_frame(channel, message)

    return send


def _call(setup: bytes, setup_payload: bytes, target: bytes, payload: bytes, send: Send) -> None:
    if setup:
        resolve(setup.decode())(setup_payload)
    resolve(target.decode())(payload, send)


def resolve(name: str) -> Callable[..., object]:
    """Return the function "package.module:function". Raises ImportError, AttributeError, ValueError."""
    function: Callable[..., object] = pkgutil.resolve_name(name)
    return function


def _exit_code(call: Callable[[], None]) -> int:
    """Run *call* and return the exit code that the interpreter would end with."""
    try:
        call()
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return (stop.code or 0) & 0xFF
        print(stop.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
