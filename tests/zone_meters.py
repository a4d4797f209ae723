"""What tests of meters on a fake powercap tree share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from powercap import FakeTree

from harness.measuring.sampler import Sampler
from harness.meters.rapl import ZoneMeter
from harness.records import Missing, Reading

Plant = Callable[..., FakeTree]
Open = Callable[..., ZoneMeter]


class Recorder(Sampler):
    """A sampler that keeps its jobs for the test to call."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Callable[[], float | None]] = []
        self.delays: list[float] = []

    def add(self, name: str, job: Callable[[], float | None], delay: float = 0.0) -> None:
        self.jobs.append(job)
        self.delays.append(delay)


def values(meter: ZoneMeter, start: Any, stop: Any) -> dict[tuple[str, str | None], float]:
    return {(r.resource, r.device): r.value for r in meter.between(start, stop) if isinstance(r, Reading)}


def reasons(meter: ZoneMeter, start: Any, stop: Any) -> dict[str, str]:
    return {r.resource: r.reason for r in meter.between(start, stop) if isinstance(r, Missing)}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
