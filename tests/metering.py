"""Starting `harness measure`, and a plugin whose meter fails where a test says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def words(command: Sequence[str], *options: str) -> list[str]:
    return [sys.executable, "-m", "harness", "measure", *options, "--", *command]


def measure(*command: str, options: Sequence[str] = (), **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(command, *options), capture_output=True, text=True, timeout=120, check=False, **{"input": "", **how}
    )


def documented(*command: str, options: Sequence[str] = ()) -> dict[str, Any]:
    """Measure *command* and return what was written."""
    done = measure(*command, options=[*options, "--output", "cost.json"])
    written: dict[str, Any] = json.loads(Path("cost.json").read_text())
    assert done.returncode == written["exit_code"], done.stderr
    return written


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def value(document: dict[str, Any], resource: str) -> float:
    (reading,) = [r for r in document["readings"] if r["resource"] == resource and r["device"] is None]
    return float(reading["value"])


FAULTY = """
import logging, os, signal, time
from harness.hookspecs import hookimpl
from harness.records import Reading

class Meter:
    def __init__(self, options): self.marks, self.pid = 0, options["pid"]; self.at("make")
    def at(self, edge):
        if os.environ["FAULT"] == f"kill at {edge}": os.kill(self.pid, signal.SIGKILL)
        if os.environ["FAULT"] == edge: raise OSError(f"lost at {edge}")
    def unavailable(self): self.at("unavailable")
    def open(self): self.at("open")
    def mark(self):
        self.marks += 1
        self.at(f"mark {self.marks}")
        if os.environ["FAULT"] == f"hang {self.marks}":
            open("hangs", "w").close()
            time.sleep(600)
        return self.marks
    def between(self, start, stop):
        self.at("between")
        return [Reading("lost", 1, "1", 0, "counter")]
    def close(self): self.at("close")

@hookimpl
def harness_register_meters(register): register("faulty", Meter, resources=("lost",))
"""
