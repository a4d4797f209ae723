"""The `zeus` meter: what the Zeus package says of the cards' energy, to be held against our own `nvml`.

Each mark ends one window of its monitor and begins the next, and keeps the sum of all so far. Zeus gives no error bars;
they are made here of the step of the counter that it reads.
"""

from __future__ import annotations

import importlib.util
import itertools
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from harness.hookspecs import hookimpl
from harness.meter import Readings
from harness.meters.counter_edges import LONGEST_STEP
from harness.meters.nvml_cards import Library
from harness.meters.quiet_import import quiet
from harness.records import Missing, Reading


@frozen
class Sum:
    """The energy of all cards since the meter was opened [J], at a time [s]."""

    time: float
    joules: float


class ZeusMeter:
    """Energy of the cards that Zeus sees."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._monitor: Any = None
        self._joules = 0.0
        self._number = itertools.count()
        self._window = ""

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("zeus") is None:
            return "the package zeus is not installed: pip install 'pepr-harness[peers]'"
        library = Library()
        reason = library.connect()
        if reason is None:
            library.disconnect()
        return reason

    def open(self) -> None:
        with quiet("zeus.device.gpu.nvidia"):
            from zeus.device import get_gpus
            from zeus.monitor.energy import ZeusMonitor

            gpus = get_gpus()
        if not all(gpus.supports_get_total_energy_consumption(index) for index in range(len(gpus))):
            raise OSError("a card has no energy counter, and zeus would begin processes to sample its power; use nvml")
        with quiet("zeus.device.gpu.nvidia"):
            self._monitor, self._joules = ZeusMonitor(cpu_indices=[]), 0.0
        self._begin()

    def mark(self) -> Sum:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of windows too short for the counter to move: the error bar tells of them
            ended = self._monitor.end_window(self._window, sync_execution=False)
        self._begin()
        self._joules += sum(ended.gpu_energy.values())
        return Sum(time.monotonic(), self._joules)

    def between(self, start: Sum, stop: Sum, /) -> Readings:
        value, elapsed = stop.joules - start.joules, stop.time - start.time
        if value <= 0:
            yield Missing("energy_gpu", "the counter did not move: the window is too short for zeus")
            return
        # A step at either edge, when twice as much may be used.
        doubt = 2 * 2 * LONGEST_STEP * value / max(elapsed, LONGEST_STEP)
        yield Reading("energy_gpu", value, "J", doubt, "counter", note="as zeus gives it")

    def close(self) -> None:
        self._monitor.end_window(self._window, sync_execution=False, cancel=True)
        self._monitor = None

    def _begin(self) -> None:
        self._window = f"harness-{next(self._number)}"
        self._monitor.begin_window(self._window, sync_execution=False)


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("zeus", ZeusMeter, resources=("energy_gpu",), automatic=False)
