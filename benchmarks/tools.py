"""What is compared: our meter in its ways, the bare counter, and one small adapter for each other tool.

Only the standard library is imported here, and each tool in its own adapter, so that what its import costs can be told.
The CO2 and CPU parts of the others are turned off where they can be; all of them keep to their shortest interval that
is a default or a documented option.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple, NoReturn, Protocol


class Outcome(NamedTuple):
    """What a tool says of a window [J]; `edges` [s, monotonic] where it says which stretch that is."""

    joules: float
    uncertainty: float | None = None
    edges: tuple[float, float] | None = None


class Tool(Protocol):
    """A tool that was imported and set up as far as it can be before a window begins."""

    def begin(self) -> None:
        """Begin a window."""

    def end(self) -> Outcome:
        """End the window."""

    def close(self) -> None:
        """Let go of all."""


class Harness:
    """Our meter in a stack of its own, as a run has it."""

    def __init__(self, *, sharp: bool) -> None:
        from harness.measuring.stack import MeterStack
        from harness.meter import StackedMeter
        from harness.meters.nvml import NvmlMeter

        self._sharp = sharp
        self._stack = MeterStack().__enter__()
        meter = NvmlMeter({"sampler": self._stack.sampler})
        self._stack.add([StackedMeter("nvml", meter, ("energy_gpu",))])

    def begin(self) -> None:
        from harness.measuring.window import Window

        self._window = Window(self._stack, ["nvml"], {}, sharp=self._sharp)

    def end(self) -> Outcome:
        self._window.stop()
        reading = self._window["energy_gpu"]
        start, stop = self._window.edges_ns
        return Outcome(reading.value, reading.uncertainty, (start / 1e9, stop / 1e9))

    def close(self) -> None:
        self._stack.close()


class Measure:
    """Our meter through `harness.measure("nvml")`, with everything that this loads; not sharp."""

    def __init__(self) -> None:
        import harness

        self._measure = harness.measure
        self._exit = ExitStack()

    def begin(self) -> None:
        self._window = self._exit.enter_context(self._measure("nvml", sharp=False))

    def end(self) -> Outcome:
        self._exit.close()
        reading = self._window["energy_gpu"]
        return Outcome(reading.value, reading.uncertainty)

    def close(self) -> None:
        pass


class SampledPower:
    """Our meter as it is on a card without a counter: power every 50 ms, by the trapezoid rule."""

    def __init__(self) -> None:
        from harness.measuring.sampler import Sampler
        from harness.meters.nvml_cards import Card, Library
        from harness.meters.nvml_gauges import PowerGauge, sampling_delay

        library = Library()
        library.connect()
        self._gauge = PowerGauge(Card(library, 0))
        self._sampler = Sampler()
        self._delay = sampling_delay
        self._sampler.add("nvml", self._sample, 0.05)

    def begin(self) -> None:
        self._start = self._gauge.edge()

    def end(self) -> Outcome:
        stop = self._gauge.edge()
        placed = self._gauge.energy(self._start, stop)
        return Outcome(placed.joules, placed.doubt, (self._start.time, stop.time))

    def close(self) -> None:
        self._sampler.close()

    def _sample(self) -> float:
        self._gauge.edge()
        return self._delay(0.05)


class Counter:
    """The difference of the counter's readings at both edges, and nothing else."""

    def __init__(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        self._read = pynvml.nvmlDeviceGetTotalEnergyConsumption

    def begin(self) -> None:
        self._start = self._read(self._handle)

    def end(self) -> Outcome:
        return Outcome((self._read(self._handle) - self._start) / 1e3)

    def close(self) -> None:
        pass


class Zeus:
    """ZeusMonitor; it waits for torch's device at its edges only where torch is in use."""

    def __init__(self) -> None:
        from zeus.monitor.energy import ZeusMonitor

        self._monitor = ZeusMonitor(gpu_indices=[0])
        self._waits = "torch" in sys.modules

    def begin(self) -> None:
        self._monitor.begin_window("window", sync_execution=self._waits)

    def end(self) -> Outcome:
        return Outcome(self._monitor.end_window("window", sync_execution=self._waits).gpu_energy[0])

    def close(self) -> None:
        pass


class PyJoules:
    """An EnergyMeter of pyJoules with the first card as its only domain."""

    def __init__(self) -> None:
        from pyJoules.device import DeviceFactory
        from pyJoules.device.nvidia_device import NvidiaGPUDomain
        from pyJoules.energy_meter import EnergyMeter

        self._domain = NvidiaGPUDomain(0)
        self._meter = EnergyMeter(DeviceFactory.create_devices([self._domain]))

    def begin(self) -> None:
        self._meter.start()

    def end(self) -> Outcome:
        self._meter.stop()
        return Outcome(self._meter.get_trace()[0].energy[str(self._domain)] / 1e3)

    def close(self) -> None:
        pass


class CodeCarbon:
    """A new OfflineEmissionsTracker for each window, as a tracker that was stopped does not start again."""

    def __init__(self) -> None:
        from codecarbon import OfflineEmissionsTracker

        self._new: Callable[..., Any] = OfflineEmissionsTracker

    def begin(self) -> None:
        self._tracker = self._new(
            country_iso_code="DNK",
            measure_power_secs=1,
            save_to_file=False,
            log_level="critical",
            allow_multiple_runs=True,
        )
        self._tracker.start()

    def end(self) -> Outcome:
        self._tracker.stop()
        return Outcome(_joules(self._tracker.final_emissions_data.gpu_energy))

    def close(self) -> None:
        pass


class CarbonTracker:
    """A new CarbonTracker for each window, which is its first epoch of two: after the last it forgets what it read.

    Its energy is taken without its PUE.
    """

    def __init__(self) -> None:
        from carbontracker import constants, tracker

        self._new: Callable[..., Any] = tracker.CarbonTracker
        self._pue = constants.PUE_2023

    def begin(self) -> None:
        self._tracker = self._new(epochs=2, epochs_before_pred=0, components="gpu", verbose=0)
        self._tracker.epoch_start()

    def end(self) -> Outcome:
        self._tracker.epoch_end()
        kwh = float(self._tracker.tracker.total_energy_per_epoch().sum()) / self._pue
        self._tracker.stop()
        return Outcome(_joules(kwh))

    def close(self) -> None:
        pass


def _joules(kwh: float) -> float:
    return kwh * 3.6e6


def refuse_network() -> None:
    """Have every connection that this process tries refused, so that no tool asks anybody anything."""

    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise OSError("this benchmark has no network")

    socket.getaddrinfo = refuse
    socket.socket.connect = refuse  # type: ignore[method-assign]


# name -> how it is made. Those with a package of their own, which may not be installed, stand in PEERS.
TOOLS: dict[str, Callable[[], Tool]] = {
    "harness": lambda: Harness(sharp=True),
    "harness, not sharp": lambda: Harness(sharp=False),
    "harness, sampled power": SampledPower,
    "harness.measure": Measure,
    "counter": Counter,
    "zeus": Zeus,
    "pyJoules": PyJoules,
    "codecarbon": CodeCarbon,
    "carbontracker": CarbonTracker,
}
PEERS = ("zeus", "pyJoules", "codecarbon", "carbontracker")
