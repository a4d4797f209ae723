"""The runner's hold on one worker process: its messages, its end, and how to bring that about."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator, Sequence
from selectors import EVENT_READ, DefaultSelector
from typing import Protocol

from harness.workers.process import END, signal_group, take_frame

# How long the kernel may take for what SIGKILL promises; a process that waits for a broken device takes for ever.
KILL_SECONDS = 10.0


class Wakes(Protocol):
    """Anything with a descriptor that becomes readable when a wait should end, such as `harness.interruption.Stop`."""

    def fileno(self) -> int: ...


class Worker:
    """A process that a launcher started.

    `pid` is also the number of its process group; `returncode` is None while it runs, then as subprocess gives it
    (minus the signal that killed it); `left_behind` is true if others of its group outlived it: they were killed.
    """

    def __init__(self, pid: int, channel: socket.socket, status: socket.socket, lifeline: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.left_behind = False
        self._status = status
        self._channel = channel
        self._lifeline = lifeline
        self._channel_ended = False
        self._received = bytearray()

    def messages(self, *, deadline: float | None = None, wake: Wakes | None = None) -> Iterator[bytes]:
        """Yield each message as it comes; return after the end (`returncode` is set then, all messages are out),
        at the *deadline* (of time.monotonic, in seconds), or when *wake* is readable.

        Blocks in the kernel between. Can be called again to go on.
        """
        go_on = True
        while True:
            while (message := take_frame(self._received)) is not None:
                yield message
            if self.returncode is not None or not go_on:
                return
            go_on = self._receive(deadline, wake)

    def terminate(self, grace: float = 10.0, wake: Wakes | None = None) -> None:
        """Send SIGTERM to the worker's group, and SIGKILL if it still runs after *grace* seconds; blocks meanwhile.

        The grace ends early when *wake* is readable. What else is left of the group is killed as soon as the worker
        ended. Messages that came remain to be read.
        """
        if self._signal(signal.SIGTERM):
            self._signal(signal.SIGCONT)  # a stopped process could not heed it
            self._await_end(grace, wake)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the worker's group and wait for its end.

        `returncode` stays None if it does not end within `KILL_SECONDS`: it is stuck in the kernel.
        """
        self._signal(signal.SIGKILL)
        # Also where there was none left to signal: the word of its end may still be on the way.
        self._await_end(KILL_SECONDS)

    def _signal(self, signum: int) -> bool:
        """Signal the group; False if the worker has ended: its number may be another's by now."""
        if self.returncode is None:
            self._receive(deadline=time.monotonic())
        return self.returncode is None and signal_group(self.pid, signum)

    def _await_end(self, seconds: float, wake: Wakes | None = None) -> None:
        deadline = time.monotonic() + seconds
        while self.returncode is None and self._receive(deadline, wake):
            pass

    def _receive(self, deadline: float | None, wake: Wakes | None = None) -> bool:
        """Block once and take in what came; False if the deadline is over or *wake* readable."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        sources: list[Wakes] = [self._status] if self._channel_ended else [self._status, self._channel]
        ready = wait_readable([*sources, wake] if wake is not None else sources, timeout)
        if self._channel in ready:
            self._read()
        if self._status in ready:
            self._take_end()
        return wake not in ready and (deadline is None or time.monotonic() < deadline)

    def _read(self) -> bool:
        """Take in what has come; False if there was nothing."""
        try:
            part = self._channel.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionResetError:  # it ended without having read all that it was sent
            part = b""
        self._channel_ended = not part
        self._received += part
        return bool(part)

    def _take_end(self) -> None:
        record = self._status.recv(END.size)
        while self._read():
            pass
        if not record:  # the server ended before the worker, and the kernel killed that then, but not its children
            record = END.pack(-signal.SIGKILL, signal_group(self.pid, signal.SIGKILL))
        self.returncode, self.left_behind = END.unpack(record)
        for end in (self._channel, self._status, self._lifeline):
            end.close()


def wait_readable(sources: Sequence[Wakes | int], timeout: float | None = None) -> list[object]:
    """Block until one of *sources* is readable, at most *timeout* seconds, and return those that are."""
    with DefaultSelector() as selector:
        for source in sources:
            selector.register(source, EVENT_READ)
        return [key.fileobj for key, _ in selector.select(timeout)]
