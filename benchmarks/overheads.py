"""A process of the benchmark of meters: what one tool costs.

    python benchmarks/overheads.py first TOOL          import and first start, in a fresh process
    python benchmarks/overheads.py edges TOOL COUNT    start and stop once hot, and what runs between them
    python benchmarks/overheads.py marks COUNT         both marks of time, memory, nvml and rapl together, not sharp

Prints a line of JSON. Nothing but the standard library is imported before the clock starts.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tools

_IDLE_SECONDS = 3.0
# What a start has begun in the background, such as placing a sharp edge, has ended by then.
_SETTLED_SECONDS = 0.3


def first(name: str) -> dict[str, Any]:
    """Return how long the import of a tool and its first start take [ms]."""
    begun = time.perf_counter()
    tool = tools.TOOLS[name]()
    tool.begin()
    milliseconds = (time.perf_counter() - begun) * 1e3
    tool.end()
    return {"first_ms": milliseconds}


def edges(name: str, count: int) -> dict[str, Any]:
    """Return how long starts and stops take [us] in the median, and what a tool does in an idle window."""
    before = _threads(), _children()
    tool = tools.TOOLS[name]()
    starts, stops = zip(*(_timed_window(tool) for _ in range(count)), strict=True)
    tool.begin()
    time.sleep(_SETTLED_SECONDS)
    cpu = time.process_time()
    time.sleep(_IDLE_SECONDS)
    cpu = time.process_time() - cpu
    after = _threads(), _children()
    tool.end()
    return {
        "start_us": statistics.median(starts),
        "stop_us": statistics.median(stops),
        "cpu_ms_per_minute": cpu * 1e3 * 60 / _IDLE_SECONDS,
        "threads": after[0] - before[0],
        "processes": after[1] - before[1],
    }


def marks(count: int) -> dict[str, Any]:
    """Return how long both marks of several meters take together [us], hot."""
    from harness.measuring.stack import MeterStack
    from harness.plugins_loader import load_plugins

    with tempfile.TemporaryDirectory() as folder:
        has_rapl = _fake_powercap(Path(folder))
        registry = load_plugins().registry
        names = [name for name in ("time", "memory", "nvml", "rapl") if name != "rapl" or has_rapl]
        with MeterStack() as stack:
            stack.add(registry.create_meters(names, {"sampler": stack.sampler}))
            taken = [_microseconds(lambda: (stack.edge("start"), stack.edge("stop"))) for _ in range(count + 10)][10:]
    cuts = statistics.quantiles(taken, n=10)
    return {"meters": ", ".join(names), "median_us": statistics.median(taken), "ninetieth_us": cuts[-1]}


def _fake_powercap(folder: Path) -> bool:
    """Lay out counters for the meter rapl; False where there is no such meter."""
    from harness.plugins_loader import BUILT_IN

    if "rapl" not in BUILT_IN:
        return False
    from powercap import FakeTree

    os.environ["HARNESS_POWERCAP_ROOT"] = str(FakeTree(folder).root)
    return True


def _timed_window(tool: tools.Tool) -> tuple[float, float]:
    start = _microseconds(tool.begin)
    time.sleep(0.02)
    return start, _microseconds(tool.end)


def _microseconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1e6


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _children() -> int:
    return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def main() -> None:
    tools.refuse_network()
    what, *arguments = sys.argv[1:]
    if what == "marks":
        answer = marks(int(arguments[0]))
    else:
        answer = first(arguments[0]) if what == "first" else edges(arguments[0], int(arguments[1]))
    print(json.dumps(answer), flush=True)
    # Threads that some tools leave behind would keep this process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
