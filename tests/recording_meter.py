"""A meter that writes down its calls, for tests of the stack."""

from __future__ import annotations

from harness.meter import Readings, StackedMeter
from harness.records import Reading


class Recording:
    """A meter that writes down its calls, and raises or waits where a test says so."""

    def __init__(self, name: str, log: list[str], faults: dict[str, BaseException] | None = None) -> None:
        self.name, self.log, self.faults = name, log, faults or {}

    def _do(self, operation: str) -> None:
        self.log.append(f"{self.name}.{operation}")
        if operation in self.faults:
            raise self.faults[operation]

    def unavailable(self) -> str | None:
        return None

    def open(self) -> None:
        self._do("open")

    def mark(self) -> int:
        self._do("mark")
        return len(self.log)

    def between(self, start: int, stop: int, /) -> Readings:
        self._do("between")
        return [Reading(resource=self.name, value=stop - start, unit="1", uncertainty=0, source="counter")]

    def close(self) -> None:
        self._do("close")


def stacked(name: str, log: list[str], resource: str | None = None, **faults: BaseException) -> StackedMeter:
    return StackedMeter(name, Recording(resource or name, log, faults), (resource or name,))
