"""What the tests of workers share: marks, reading to the end, and who still runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent

linux = pytest.mark.skipif(sys.platform != "linux", reason="the forkserver needs Linux")
methods = [pytest.param("forkserver", marks=linux), "spawn"]
both = pytest.mark.parametrize("method", methods)


def all_messages(worker):
    """What the worker sends; the deadline only keeps a broken test from blocking."""
    return list(worker.messages(deadline=time.monotonic() + 60))


def first_message(worker):
    return next(worker.messages(deadline=time.monotonic() + 60))


def runs(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def survivors(pids):
    """Those of *pids* that still run when they had some seconds to end."""
    deadline = time.monotonic() + 5
    while (left := [pid for pid in pids() if runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def marked(mark):
    """The processes in whose environment *mark* is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
