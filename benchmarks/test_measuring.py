"""What a metered block costs, against reading the clock and the process's memory by hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import harness
from harness.measuring.stack import MeterStack
from harness.plugins_loader import load_plugins

block = pytest.mark.benchmark(group="meter an empty block")
edges = pytest.mark.benchmark(group="both edges of a window")


@block
def test_clock_and_resident_memory_by_hand(benchmark: Any) -> None:
    process = psutil.Process()

    def by_hand() -> tuple[float, int]:
        start, before = time.perf_counter(), process.memory_info().rss
        return time.perf_counter() - start, process.memory_info().rss - before

    benchmark(by_hand)


@block
@pytest.mark.parametrize("meters", [("time",), ("time", "memory")], ids=",".join)
def test_harness_measure(benchmark: Any, meters: tuple[str, ...]) -> None:
    def metered() -> float:
        with harness.measure(*meters) as window:
            pass
        return window["time"].value

    benchmark(metered)


@pytest.fixture(params=[("time", "memory"), ("time", "memory", "rapl")], ids=",".join)
def both_edges(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Any]]:
    """Take the edges with meters; rapl reads files laid out as the kernel does, of two packages with dram."""
    from powercap import FakeTree

    monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(FakeTree(tmp_path).root))
    with MeterStack() as stack:
        stack.add(load_plugins().registry.create_meters(request.param, {"sampler": stack.sampler}))
        yield lambda: (stack.edge("start"), stack.edge("stop"))


@edges
def test_edges(benchmark: Any, both_edges: Callable[[], Any]) -> None:
    benchmark(both_edges)


@edges
def test_counter_file_by_hand(benchmark: Any, tmp_path: Path) -> None:
    counter = tmp_path / "energy_uj"
    counter.write_text("123456789012\n")
    descriptor = os.open(counter, os.O_RDONLY)

    def by_hand() -> int:
        return -int(os.pread(descriptor, 64, 0)) + int(os.pread(descriptor, 64, 0))

    benchmark(by_hand)
    os.close(descriptor)
