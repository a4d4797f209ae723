"""One process for each piece of work: forked from a server that has imported what is heavy, else spawned.

Knows nothing of trials or torch: a target's name and bytes go in, messages and a return code come out. The user's
script is never imported again, and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from selectors import EVENT_READ, DefaultSelector
from types import TracebackType
from typing import Literal, Protocol

from harness.errors import HarnessError
from harness.process import (
    END,
    PID,
    block_signals,
    describe_end,
    end_record,
    read_frame,
    signal_group,
    take_frame,
    write_frame,
)

Method = Literal["auto", "forkserver", "spawn"]

# A server that ends is started again; one that ends so often is given up.
SERVER_STARTS = 3
# How long the kernel may take for what SIGKILL promises; a process that waits for a broken device takes for ever.
KILL_SECONDS = 10.0
SERVER_EXIT_SECONDS = 5.0


class Wakes(Protocol):
    """Anything with a descriptor that becomes readable when a wait should end, such as `harness.interruption.Stop`."""

    def fileno(self) -> int: ...


class Launcher:
    """Starts workers, and leaves none behind. A context manager; not for use by several threads at once.

    *preload*: modules to import before the first fork. *setup*: a function "package.module:function" and the bytes to
    call it with, once in the server, or in each worker that is spawned. *method*: "auto" forks where it is safe and
    spawns otherwise; "forkserver" raises where it is not.

    The server starts with the first worker. Workers see the environment, working directory and sys.path that the
    runner had then; what it changes later is seen by spawned workers only.

    Its start and the spawned workers end with the thread that began them, so that must live as long.
    """

    def __init__(
        self, preload: Sequence[str] = (), setup: tuple[str, bytes] | None = None, method: Method = "auto"
    ) -> None:
        self.notes: list[str] = []
        self._preload = list(preload)
        self._setup = setup or ("", b"")
        self._method = method
        self._server: _Server | None = None
        self._starts = 0
        self._spawns = method == "spawn"
        self._workers: list[Worker] = []

    @property
    def start_method(self) -> str:
        """How workers come to be, "forkserver" or "spawn"; empty before the first start has settled it."""
        return "spawn" if self._spawns else "forkserver" if self._server else ""

    def start(self, wake: Wakes | None = None) -> None:
        """Start the server, if it is used and not there; blocks while it imports (seconds).

        Raises HarnessError where forking was asked for and is not safe, InterruptedError where *wake* becomes readable.
        """
        while self._server is None and not self._spawns:
            unusable = self._start_server(wake) if self._starts < SERVER_STARTS else "the forkserver does not survive"
            if unusable is None:
                continue
            if self._method == "forkserver":
                raise HarnessError(f"start method 'forkserver' cannot be used: {unusable}; try 'auto' or 'spawn'")
            self._spawns = True
            self.notes.append(f"falling back to spawn, which starts each worker anew: {unusable}")

    def launch(self, target: str, payload: bytes, *, wake: Wakes | None = None) -> Worker:
        """Return a new worker that calls *target* ("package.module:function") with (payload, send).

        `send(message: bytes)` gives the runner a message. Blocks and raises as `start`.
        """
        self._workers = [worker for worker in self._workers if worker.returncode is None]
        while True:
            self.start(wake)
            try:
                worker = self._begin(target, payload)
            except _ServerEnded:
                self._end_server()
            else:
                self._workers.append(worker)
                return worker

    def close(self) -> None:
        """Kill the workers that still run, end the server, and wait for them."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> Launcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_server(self, wake: Wakes | None) -> str | None:
        """Start a server; return why none can be used, or None: it serves, or it ended and may be tried again."""
        unusable = _no_forkserver_here()
        if unusable is not None:
            return unusable
        self._starts += 1
        self._server = _Server()
        try:
            notes, unusable = self._server.prepare(self._preload, self._setup, wake)
        except _ServerEnded:
            self._end_server()
            return None
        except InterruptedError:
            self._end_server(tell=False)
            raise
        self.notes += [note for note in notes if note not in self.notes]
        if unusable is not None:
            self._end_server(tell=False)
        return unusable

    def _end_server(self, tell: bool = True) -> None:
        if self._server is not None:
            end = self._server.kill()
            self._server = None
            if tell:
                self.notes.append(f"the forkserver ended unasked ({end})")

    def _begin(self, target: str, payload: bytes) -> Worker:
        if self._server is not None:
            return self._server.fork(target, payload)
        return _spawn(self._setup, target, payload)


class Worker:
    """A process that a launcher started.

    `pid` is also the number of its process group; `returncode` is None while it runs, then as subprocess gives it
    (minus the signal that killed it); `left_behind` is true if others of its group outlived it: they were killed.
    """

    def __init__(self, pid: int, channel: socket.socket, status: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.left_behind = False
        self._status = status
        self._channel = channel
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

    def terminate(self, grace: float = 10.0) -> None:
        """Send SIGTERM to the worker's group, and SIGKILL if it still runs after *grace* seconds; blocks meanwhile.

        What else is left of the group is killed as soon as the worker ended. Messages that came remain to be read.
        """
        if self.returncode is None:
            signal_group(self.pid, signal.SIGTERM)
            signal_group(self.pid, signal.SIGCONT)  # a stopped process could not heed it
            self._await_end(grace)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the worker's group and wait for its end.

        `returncode` stays None if it does not end within `KILL_SECONDS`: it is stuck in the kernel.
        """
        if self.returncode is None:
            signal_group(self.pid, signal.SIGKILL)
            self._await_end(KILL_SECONDS)

    def _await_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.returncode is None and self._receive(deadline):
            pass

    def _receive(self, deadline: float | None, wake: Wakes | None = None) -> bool:
        """Block once and take in what came; False if the deadline is over or *wake* readable."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        sources: list[Wakes] = [self._status] if self._channel_ended else [self._status, self._channel]
        ready = _wait([*sources, wake] if wake is not None else sources, timeout)
        if self._channel in ready:
            self._read()
        if self._status in ready:
            self._take_end()
        return wake not in ready and (deadline is None or time.monotonic() < deadline)

    def _read(self) -> bool:
        """Take in what has come; False if there was nothing."""
        try:
            part = self._channel.recv(1 << 20, socket.MSG_DONTWAIT)
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
        self._channel.close()
        self._status.close()


class _ServerEnded(Exception):
    """The server is gone before it did what was asked."""


class _Server:
    """The runner's hold on the forkserver process."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = _start_python("harness.forkserver", theirs)

    def prepare(
        self, preload: list[str], setup: tuple[str, bytes], wake: Wakes | None
    ) -> tuple[list[str], str | None]:
        """Have the modules imported and *setup* called; return what to tell and why not to fork, if so.

        Raises _ServerEnded, InterruptedError if *wake* becomes readable before.
        """
        try:
            for frame in (json.dumps(preload).encode(), setup[0].encode(), setup[1]):
                write_frame(self._control, frame)
            if self._control not in _wait([self._control, *([wake] if wake is not None else [])]):
                raise InterruptedError("woken while the forkserver was starting")
            report = json.loads(read_frame(self._control))
        except (EOFError, ConnectionError) as err:
            raise _ServerEnded from err
        return report["notes"], report["unusable"]

    def fork(self, target: str, payload: bytes) -> Worker:
        """Return a new worker. Raises _ServerEnded."""
        channel, its_channel = socket.socketpair()
        status, its_status = socket.socketpair()
        try:
            with its_channel, its_status:
                socket.send_fds(self._control, [b"f"], [its_channel.fileno(), its_status.fileno()])
            (pid,) = PID.unpack(status.recv(PID.size) or _raise_ended())
        except (ConnectionError, _ServerEnded) as err:
            channel.close()
            status.close()
            raise _ServerEnded from err
        return _commission(Worker(pid, channel, status), channel, [b"", b"", target.encode(), payload])
