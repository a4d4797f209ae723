"""The `codecarbon` meter: what the CodeCarbon package says, to be held against our own meters.

One offline tracker runs from `open` to `close`; it neither writes files nor asks the network. A mark has it measure and
keeps its totals. It gives no error bars, so they are made here of what is known of how it measures.
"""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from harness.hookspecs import hookimpl
from harness.meter import Readings
from harness.meters.counter_edges import LONGEST_STEP
from harness.meters.quiet_import import quiet
from harness.records import Missing, Reading, Source

_JOULES_PER_KWH = 3.6e6
# It takes what it measured last for that long as good enough (`flush`).
_STALE_SECONDS = 0.05
_PERIOD_SECONDS = 1.0


@frozen
class Totals:
    """What the tracker has added up [J] at a time [s]; `cards` is the number of GPUs that it found."""

    time: float
    cpu: float
    gpu: float
    cards: int


class CodeCarbonMeter:
    """Energy of the processor, and of the cards where the program `nvidia-smi` shows CodeCarbon that there are some."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._tracker: Any = None
        self._told: list[Any] = []

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("codecarbon") is None:
            return "the package codecarbon is not installed: pip install 'pepr-harness[peers]'"
        return None

    def open(self) -> None:
        with quiet("codecarbon"):
            from codecarbon import OfflineEmissionsTracker
            from codecarbon.output_methods.base_output import BaseOutput, OutputMethod

            told = self._told

            class Keep(BaseOutput):
                def out(self, total: Any, delta: Any) -> None:
                    told[:] = [total]

            self._tracker = OfflineEmissionsTracker(
                country_iso_code="USA",  # it must have one; grams are not taken from it
                measure_power_secs=_PERIOD_SECONDS,
                output_methods=[OutputMethod.LOGGER],
                logging_logger=Keep(),
                log_level="critical",
                allow_multiple_runs=True,
            )
            self._tracker.start()

    def mark(self) -> Totals:
        self._told.clear()
        self._tracker.flush()  # swallows what it raises, and tells nothing then
        if not self._told:
            raise OSError("codecarbon could not measure")
        (total,) = self._told
        cpu, gpu = _JOULES_PER_KWH * total.cpu_energy, _JOULES_PER_KWH * total.gpu_energy
        return Totals(time.monotonic(), cpu, gpu, total.gpu_count or 0)

    def between(self, start: Totals, stop: Totals, /) -> Readings:
        value = stop.cpu - start.cpu
        # From a counter, or else from a table of processors; it does not say which.
        yield _reading("energy_cpu", value, value / 2, "estimated")
        if start.cards:
            value = stop.gpu - start.gpu
            watts = value / max(stop.time - start.time, _STALE_SECONDS)
            # Its last measurement and the counter's last tick lie before each edge, where twice as much may be used.
            yield _reading("energy_gpu", value, 2 * 2 * watts * (LONGEST_STEP + _STALE_SECONDS), "counter")

    def close(self) -> None:
        self._tracker.stop()
        self._tracker = None


def _reading(resource: str, joules: float, doubt: float, source: Source) -> Reading | Missing:
    if joules <= 0:
        return Missing(resource, "codecarbon added nothing up: the window is too short for it")
    return Reading(resource, joules, "J", doubt, source, note="as codecarbon gives it")


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("codecarbon", CodeCarbonMeter, resources=tuple(_resources()), automatic=False)


def _resources() -> Iterator[str]:
    yield "energy_cpu"
    # CodeCarbon's own sign that there is a card: without it, it counts none.
    if shutil.which("nvidia-smi"):
        yield "energy_gpu"
