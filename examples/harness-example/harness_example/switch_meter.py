"""The meter `switches`: how often the process was set aside for another, and how many pages it touched anew."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from harness import Reading, hookimpl


class SwitchMeter:
    """Counts context switches of the main thread, and page faults of all threads of this process."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._elsewhere = "pid" in options

    def unavailable(self) -> str | None:
        return "it counts its own process only; meter a trial or a block with it" if self._elsewhere else None

    def open(self) -> None:
        self._process = psutil.Process()

    def mark(self) -> tuple[int, int]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return sum(self._process.num_ctx_switches()), usage.ru_minflt + usage.ru_majflt

    def between(self, start: tuple[int, int], stop: tuple[int, int], /) -> list[Reading]:
        switches, faults = stop[0] - start[0], stop[1] - start[1]
        return [
            Reading("switches", switches, unit="1", uncertainty=0, source="counter", note="of the main thread"),
            Reading("page_faults", faults, unit="1", uncertainty=0, source="counter"),
        ]

    def close(self) -> None:
        del self._process


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("switches", SwitchMeter, resources=("switches", "page_faults"))
