"""The server that workers are forked from: it imports what is heavy once, then forks, reaps and tells.

It has one thread, for a fork copies one: a lock that another thread held would stay locked in the worker for ever.
It blocks on the runner's requests, the runner's end and the ends of its workers, and takes them along when it goes.
Linux only.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import NoReturn

from attrs import frozen

from harness.errors import told
from harness.workers.process import (
    PID,
    die_with_parent,
    end_record,
    read_frame,
    resolve,
    set_death_signal,
    signal_group,
    work,
    write_frame,
)

# Each keeps a library from starting a thread when it is imported: OpenBLAS (numpy, scipy) its pool, and the jemalloc
# inside Arrow (pyarrow, with it pandas and scikit-learn) its cleaner. Workers see the runner's environment again.
QUIET_IMPORTS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}

# For exit handlers of preloaded modules; nobody is left to kill a server in which one of them hangs.
EXIT_SECONDS = 2


def main(control_fd: int, runner: int) -> NoReturn:
    """Prepare, report to the process *runner* on the socket *control_fd*, and serve until it is gone."""
    die_with_parent(runner)  # while importing, nobody watches the runner
    runner_end = os.pidfd_open(runner)
    control = socket.socket(fileno=control_fd)
    control.set_inheritable(False)
    preload, setup, payload = [read_frame(control) for _ in range(3)]
    notes, unusable = prepare(json.loads(preload), setup.decode(), payload)
    write_frame(control, json.dumps({"notes": notes, "unusable": unusable}).encode())
    if unusable is None:
        set_death_signal(0)  # it would come when the runner's thread ends; from here the runner is watched
        Forkserver(control, runner_end).serve()
    signal.alarm(EXIT_SECONDS)
    atexit._run_exitfuncs()
    os._exit(0)  # taking torch apart would cost the runner most of a second


def prepare(preload: Sequence[str], setup: str, payload: bytes) -> tuple[list[str], str | None]:
    """Import the modules *preload*, call *setup* (empty: none), and return what to tell and why forks are unsafe.

    A module that cannot be imported is something to tell. A thread that was started, or a setup that fails, is a
    reason not to fork: None if all is well.
    """
    notes: list[str] = []
    with quiet_imports():
        for name in preload:
            try:
                importlib.import_module(name)
            except BaseException as error:
                notes.append(f"{name!r} is not preloaded for the workers: {_line(error)}")
            if threads := thread_names()[1:]:
                return notes, f"importing {name!r} started {_listed(threads)}"
        unusable = _set_up(setup, payload) if setup else None
    # What lives now lives as long as the server: a collection in a worker need not look at it, nor copy its pages.
    gc.collect()
    gc.freeze()
    return notes, unusable


def _set_up(setup: str, payload: bytes) -> str | None:
    try:
        resolve(setup)(payload)
    except BaseException as error:
        return f"{setup} failed: {_line(error)}"
    threads = thread_names()[1:]
    return f"{setup} started {_listed(threads)}" if threads else None


def _line(error: BaseException) -> str:
    return " ".join(told(error).split())


def _listed(threads: Sequence[str]) -> str:
    return f"{len(threads)} thread{'s' if len(threads) > 1 else ''} ({', '.join(threads)})"


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Set `QUIET_IMPORTS` for the block, and put the environment back exactly."""
    before = {name: os.environ.get(name) for name in QUIET_IMPORTS}
    os.environ.update(QUIET_IMPORTS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def thread_names() -> list[str]:
    """Return the kernel's names of this process's threads, C libraries' own ones too; the main thread is first."""
    tasks = sorted(Path("/proc/self/task").iterdir(), key=lambda task: int(task.name))
    return [(task / "comm").read_text().strip() for task in tasks]


@frozen
class Child:
    """A worker: its process id, the descriptor that is readable once it ended, and whom to tell."""

    pid: int
    pidfd: int
    status: socket.socket


class Forkserver:
    """The loop: `control` brings one byte with two descriptors for each worker, its channel and its status."""

    def __init__(self, control: socket.socket, runner_end: int) -> None:
        self._control = control
        self._runner_end = runner_end
        self._children: dict[int, Child] = {}
        self._selector = DefaultSelector()
        self._selector.register(control, EVENT_READ, self._fork)
        self._selector.register(runner_end, EVENT_READ, lambda: False)

    def serve(self) -> None:
        """Serve until the runner closes the control socket or ends; kill each worker's group then."""
        try:
            while all(key.data() for key, _ in self._selector.select()):
                pass
        finally:
            for child in self._children.values():
                signal_group(child.pid, signal.SIGKILL)

    def _fork(self) -> bool:
        """Fork the worker that was asked for; False where the runner is gone."""
        _, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if len(descriptors) != 2:
            return False
        channel, status = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        _flush()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._forget()
            status.close()
            work(channel, server)
        channel.close()
        self._watch(pid, status)
        return True

    def _watch(self, pid: int, status: socket.socket) -> None:
        # Here as well as in the worker: the group must be there before anybody is told its number.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        child = Child(pid, os.pidfd_open(pid), status)
        self._children[pid] = child
        self._selector.register(child.pidfd, EVENT_READ, partial(self._reap, child))
        with contextlib.suppress(OSError):
            status.sendall(PID.pack(pid))

    def _reap(self, child: Child) -> bool:
        _, wait_status = os.waitpid(child.pid, 0)
        record = end_record(child.pid, os.waitstatus_to_exitcode(wait_status))
        with contextlib.suppress(OSError):
            child.status.sendall(record)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.status.close()
        del self._children[child.pid]
        return True

    def _forget(self) -> None:
        """Close in a new worker what belongs to the server. The selector is closed, not emptied: it is shared."""
        self._selector.close()
        self._control.close()
        os.close(self._runner_end)
        for child in self._children.values():
            os.close(child.pidfd)
            child.status.close()


def _flush() -> None:
    """Write out what imports have printed, or each worker would write it again."""
    sys.stdout.flush()
    sys.stderr.flush()
