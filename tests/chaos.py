"""A plugin whose trials do what their model's name says: done, sleep, raise, kill ... No torch, so they take no time.

Loaded with `--plugin chaos`; its executor `bare` is the local one without torch in its server.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from harness.errors import DivergedError
from harness.hookspecs import hookimpl
from harness.meter import Readings
from harness.records import EpochDone, Finished, Reading, Trial
from harness.specs import DatasetSpec, ModelSpec
from harness.workers.local import LocalExecutor

MODELS = ("done", "sleep", "raise", "exit", "memory", "allocator", "diverge", "kill", "segfault", "vanish", "stubborn")
MODELS += ("family", "bright", "wait", "orphan")


OUTCOMES: dict[str, Any] = {
    "nonsense": {"accuracy": 3},
    "nan": {"performance": math.nan},
    "seven": {"performance": 7},
    "object": {"performance": 0.5, "facts": {"a": object()}},
}
MODELS += (*OUTCOMES, "zero", "foreign", "text", "early", "base")


def _report(name: str, trial: Trial, report: Callable[..., Any]) -> None:
    """Send an epoch, or what the model's name says instead."""
    odd: dict[str, Any] = {
        "zero": EpochDone(trial.key, 0, 0.5, 0.5),
        "foreign": EpochDone("another", 1, 0.5, 0.5),
        "text": "hello",
        "early": Finished(trial.key, 0.5),
    }
    report(odd.get(name, EpochDone(trial.key, 1, 0.5, 0.25)))


class _Odd(BaseException):
    pass


def _act(name: str) -> None:
    if name == "sleep":
        time.sleep(600)
    elif name == "wait":
        time.sleep(0.02)
    elif name == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif name in ("family", "orphan"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        time.sleep(600 if name == "family" else 0)
    elif name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == "vanish":
        os._exit(0)
    _raise(name)


def _raise(name: str) -> None:
    errors: dict[str, BaseException] = {
        "raise": ValueError("no good\nsecond line"),
        "exit": SystemExit(3),
        "base": _Odd("odd"),
        "memory": MemoryError(),
        "allocator": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        "diverge": DivergedError("the training loss is nan"),
    }
    if name in errors:
        raise errors[name]


@hookimpl
def harness_run_trial(trial: Trial, window: Callable[..., Any], report: Callable[..., Any]) -> dict[str, Any] | None:
    if trial.task != "chaos":
        return None

    name = trial.model.partition("-")[0]
    with window("train") as metered:
        _report(name, trial, report)
        metered.lap()
        _act(name)
    if name in OUTCOMES:
        return OUTCOMES[name]
    return {"performance": 0.9 if name == "bright" else 0.5, "facts": {"data": 10}}


@hookimpl
def harness_register_models(register: Callable[[ModelSpec], None]) -> None:
    for name in MODELS:
        register(ModelSpec(name, lambda *args: None))
    for number in range(40):
        register(ModelSpec(f"wait-{number:02d}", lambda *args: None))


@hookimpl
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    register(DatasetSpec("nothing", lambda *args: None, num_classes=2, in_chans=1, task="chaos"))  # type: ignore[arg-type,return-value]


class SlowMeter:
    """A meter that hangs in the call that its option names."""

    def __init__(self, options: Any) -> None: ...

    def unavailable(self) -> str | None:
        return None

    def open(self) -> None: ...

    def mark(self) -> int:
        time.sleep(600)
        return 0

    def between(self, start: int, stop: int, /) -> Readings:
        return []

    def close(self) -> None: ...


class OddMeter(SlowMeter):
    """Gives a reading whose device is no text."""

    def mark(self) -> int:
        return 0

    def between(self, start: int, stop: int, /) -> Readings:
        device: Any = object()
        return [Reading("nothing_d", 1, "1", 0, "counter", device)]


class BrokenMeter(SlowMeter):
    def mark(self) -> int:
        raise SystemExit("the device is gone")


class AbsentMeter(SlowMeter):
    def unavailable(self) -> str | None:
        return "no such device; plug it in"


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("absent", AbsentMeter, resources=("nothing_a",))
    if os.environ.get("CHAOS_METERS"):
        register("slow", SlowMeter, resources=("nothing_b",))
        register("odd", OddMeter, resources=("nothing_d",))
        register("broken", BrokenMeter, resources=("nothing_c",))


@hookimpl
def harness_register_executors(register: Callable[..., None]) -> None:
    register("bare", lambda options: LocalExecutor(options["plugins"], preload=()))
