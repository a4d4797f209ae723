"""What a meter is: the protocol that built-in and third-party meters follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from attrs import frozen

from harness.records import Missing, Reading

Readings = Iterable[Reading | Missing]

# Energy domains that do not overlap, so that `energy` is their sum. The psys domain contains the package.
ENERGY_PARTS = ("energy_gpu", "energy_cpu", "energy_dram")
# What follows a resource's name for what was used beyond the idle power before the trial.
NET = "_net"
# The unit of each resource that the harness knows; a plugin's own resource may have any unit.
RESOURCE_UNITS: Mapping[str, str] = {
    "time": "s",
    **{f"{name}{suffix}": "J" for suffix in ("", NET) for name in ("energy", *ENERGY_PARTS)},
    "energy_psys": "J",
    "memory": "B",
    "memory_host": "B",
    "memory_cuda": "B",
    "memory_cuda_reserved": "B",
    "carbon": "g",
    "carbon_intensity": "g/kWh",
    "data": "samples",
}
# How the readings of neighbouring windows make that of both; what is not named is a sum.
COMBINE: Mapping[str, str] = {
    "memory": "max",
    "memory_host": "max",
    "memory_cuda": "max",
    "memory_cuda_reserved": "max",
    "carbon_intensity": "mean",
}


class Meter(Protocol):
    """Something that measures resources over windows. A window is two marks; laps are the marks between.

    A meter is opened once per process and shared by every window, nested and concurrent ones too. The stack that
    calls it takes one edge at a time, and reads one window at a time, perhaps while an edge is taken. It guards every
    call: a meter that raises loses its own readings, with the reason.

    A meter may have three methods more: `settle` and `sharpen` (see `SharpMeter`), and `facts() -> Mapping[str, Any]`,
    plain data on its devices to be stored beside the readings, asked for before it is closed.
    """

    def unavailable(self) -> str | None:
        """Return None if the meter works here, else why not and what would help. Called before `open`, cheap."""

    def open(self) -> None:
        """Take hold of the device: handles, descriptors, threads. Called once, in the process that marks."""

    def mark(self) -> Any:
        """Return an edge: whatever `between` needs. Cheap, and never waits."""

    def between(self, start: Any, stop: Any, /) -> Readings:
        """Return what was used from the mark *start* to the later mark *stop*.

        For each resource one reading with `device` None, the total, and where there are several devices one for each;
        or a `Missing` with the reason. May take its time: it is called after all edges are taken.
        """

    def close(self) -> None:
        """Let go of what `open` took."""


@runtime_checkable
class SharpMeter(Protocol):
    """What a meter has beside `Meter` if, in sharp windows, it can place edges more finely than its device counts."""

    def settle(self) -> None:
        """Wait, before the first edge of a window, until the next edge can be placed; for a small part of a second."""

    def sharpen(self, mark: Any, /) -> None:
        """Begin to gather, in the background, what places *mark* better. Called after all meters are marked; cheap."""


@frozen
class StackedMeter:
    """A meter with the name and the resources it was registered with."""

    name: str
    meter: Meter
    resources: tuple[str, ...]


@frozen
class UnmadeMeter:
    """Stands for a meter that could not be made, so that its resources are missing with the reason."""

    reason: str

    def unavailable(self) -> str | None:
        return self.reason

    def open(self) -> None: ...

    def mark(self) -> None: ...

    def between(self, start: None, stop: None, /) -> Readings:
        return ()

    def close(self) -> None: ...


# Takes the options that were asked for. Beside plain data (`sample_period` [s], `cpu_watts` [W], `location`,
# `carbon_intensity` [g/kWh], `pid` of a process to be metered with its children in place of this one), each absent
# unless given, it finds "sampler", the process's `harness.measuring.sampler.Sampler`, and "intensity_at", which asks
# the plugins for `harness_carbon_intensity(location, when)`. With `pid` comes "ended_usage": it gives that process's
# `resource.struct_rusage` once it has ended, else None, with what its orphans used that this process waited for before;
# it is not to be called before the last edge is taken.
MeterFactory = Callable[[Mapping[str, Any]], Meter]


def edge_order(resources: Iterable[str]) -> int:
    """Return the place of a meter of *resources* at a starting edge: energy, memory, others, time.

    A stopping edge goes the other way round, so that the clock sees the least of the other meters.
    """
    return min((_order_of(resource) for resource in resources), default=2)


def _order_of(resource: str) -> int:
    if resource == "time":
        return 3
    if resource.startswith("energy"):
        return 0
    return 1 if resource.startswith("memory") else 2
