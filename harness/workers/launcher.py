"""One process for each piece of work: forked from a server that has imported what is heavy, else spawned.

Knows nothing of trials or torch: a target's name and bytes go in, messages and a return code come out. The user's
script is never imported again, and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Literal

from harness.errors import HarnessError
from harness.interruption import block_signals
from harness.workers.handle import Wakes, Worker, wait_readable
from harness.workers.process import (
    PID,
    describe_end,
    end_record,
    read_exactly,
    read_frame,
    write_frame,
)

__all__ = ["Launcher", "Method", "Wakes", "Worker", "describe_end"]

Method = Literal["auto", "forkserver", "spawn"]

# A server that ends is started again; one that ends so often is given up.
SERVER_STARTS = 3
SERVER_EXIT_SECONDS = 5.0


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
        self._workers: list[Worker] = []
        # "forkserver" or "spawn"; empty before the first start has settled it.
        self.start_method = "spawn" if method == "spawn" else ""

    def start(self, wake: Wakes | None = None) -> None:
        """Start the server, if it is used and not there; blocks while it imports (seconds).

        Raises HarnessError where forking was asked for and is not safe, InterruptedError where *wake* becomes readable.
        """
        while self._server is None and self.start_method != "spawn":
            unusable = forkserver_unavailable() or self._start_server(wake)
            if unusable is not None:
                self._fall_back(unusable)

    def launch(self, target: str, payload: bytes, *, wake: Wakes | None = None) -> Worker:
        """Return a new worker that calls *target* ("package.module:function") with (payload, send).

        `send(message: bytes)` gives the runner a message. Blocks and raises as `start`.
        """
        self._workers = [worker for worker in self._workers if worker.returncode is None]
        while True:
            self.start(wake)
            try:
                worker = self._begin(target, payload)
            except _ServerEndedError:
                self._drop_server()
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
        if self._starts == SERVER_STARTS:
            return f"the forkserver ended {SERVER_STARTS} times"
        self._starts += 1
        server = _Server()
        try:
            notes, unusable = server.prepare(self._preload, self._setup, wake)
        except _ServerEndedError:
            self._note_end(server)
            return None
        except BaseException:
            server.kill()
            raise
        self.notes += [note for note in notes if note not in self.notes]
        if unusable is not None:
            server.kill()
            return unusable
        self._server = server
        self.start_method = "forkserver"
        return None

    def _drop_server(self) -> None:
        if self._server is not None:
            self._note_end(self._server)
            self._server = None

    def _note_end(self, server: _Server) -> None:
        self.notes.append(f"the forkserver ended too early ({server.kill()})")

    def _fall_back(self, unusable: str) -> None:
        if self._method == "forkserver":
            raise HarnessError(f"start method 'forkserver' cannot be used: {unusable}; try 'auto' or 'spawn'")
        self.start_method = "spawn"
        self.notes.append(f"falling back to spawn, a new interpreter for each worker: {unusable}")

    def _begin(self, target: str, payload: bytes) -> Worker:
        if self._server is not None:
            return self._server.fork(target, payload)
        return _spawn(self._setup, target, payload)


class _ServerEndedError(Exception):
    """The server is gone before it did what was asked."""


class _Server:
    """The runner's hold on the forkserver process."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = _start_python("harness.workers.forkserver", theirs)

    def prepare(self, preload: list[str], setup: tuple[str, bytes], wake: Wakes | None) -> tuple[list[str], str | None]:
        """Have the modules imported and *setup* called; return what to tell and why not to fork, if so.

        Raises _ServerEndedError, InterruptedError if *wake* becomes readable before.
        """
        try:
            for frame in (json.dumps(preload).encode(), setup[0].encode(), setup[1]):
                write_frame(self._control, frame)
            if self._control not in wait_readable([self._control, *([wake] if wake is not None else [])]):
                raise InterruptedError("woken while the forkserver was starting")
            report = json.loads(read_frame(self._control))
        except (EOFError, ConnectionError) as err:
            raise _ServerEndedError from err
        return report["notes"], report["unusable"]

    def fork(self, target: str, payload: bytes) -> Worker:
        """Return a new worker. Raises _ServerEndedError."""
        channel, its_channel = socket.socketpair()
        status, its_status = socket.socketpair()
        try:
            with its_channel, its_status:
                socket.send_fds(self._control, [b"f"], [its_channel.fileno(), its_status.fileno()])
            (pid,) = PID.unpack(read_exactly(status, PID.size))
        except (EOFError, ConnectionError) as err:
            channel.close()
            status.close()
            raise _ServerEndedError from err
        return Worker(pid, channel, status, _hand_over(channel, ("", b""), target, payload))

    def close(self) -> None:
        """End the server and wait for it; it is killed if its modules' exit handlers take long."""
        self._control.close()
        pidfd = os.pidfd_open(self._process.pid)
        try:
            wait_readable([pidfd], SERVER_EXIT_SECONDS)
        finally:
            os.close(pidfd)
        self.kill()

    def kill(self) -> str:
        """End the server now, with all that it forked, and return in words how it ended if it had before."""
        self._control.close()
        self._process.kill()
        return describe_end(self._process.wait())


def _spawn(setup: tuple[str, bytes], target: str, payload: bytes) -> Worker:
    """Return a worker in a fresh interpreter."""
    channel, its_channel = socket.socketpair()
    status, its_status = socket.socketpair()
    with its_channel:
        process = _start_python("harness.workers.process", its_channel)
    threading.Thread(target=_reap, args=[process, its_status], name=f"reaper-{process.pid}", daemon=True).start()
    return Worker(process.pid, channel, status, _hand_over(channel, setup, target, payload))


def _reap(process: subprocess.Popen[bytes], status: socket.socket) -> None:
    """Do for a spawned worker what the server does for a forked one: wait for its end and tell it."""
    block_signals()
    with status, contextlib.suppress(OSError):
        status.sendall(end_record(process.pid, process.wait()))


def _hand_over(channel: socket.socket, setup: tuple[str, bytes], target: str, payload: bytes) -> socket.socket:
    """Tell a new worker what to do, and return the lifeline, to be kept open as long as it is to live.

    If it has ended already, its end will be noticed where it is awaited.
    """
    lifeline, its_lifeline = socket.socketpair()
    with its_lifeline, contextlib.suppress(ConnectionError):
        socket.send_fds(channel, [b"l"], [its_lifeline.fileno()])
        for frame in (setup[0].encode(), setup[1], target.encode(), payload):
            write_frame(channel, frame)
    return lifeline


def _start_python(module: str, channel: socket.socket) -> subprocess.Popen[bytes]:
    """Start `module.main` in a new interpreter with this one's sys.path, in a session of its own, silent on stdout.

    Not with -m: that looks for the module in the working directory first, and before sys.path is handed over.
    """
    path = [str(entry) for entry in sys.path]
    call = f"main({channel.fileno()}, {os.getpid()})"
    # Read when huggingface_hub is imported; without it, each request would say what machine and programs are here.
    environment = {"HF_HUB_DISABLE_TELEMETRY": "1", **os.environ}
    return subprocess.Popen(  # noqa: S603  no shell, and nothing of the user's but sys.path
        [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}; from {module} import main; {call}"],
        stdin=subprocess.DEVNULL,
        stdout=2,
        env=environment,
        pass_fds=[channel.fileno()],
        start_new_session=True,
    )


def forkserver_unavailable() -> str | None:
    """Return why workers cannot be forked from a server here, or None."""
    if sys.platform != "linux":
        return f"the forkserver needs Linux, this is {sys.platform}"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return f"this kernel has no pidfd_open ({error})"
    return None
