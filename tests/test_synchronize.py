"""The device is waited for at the ends of a window, if torch uses it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from recording_meter import stacked

from harness.measuring.stack import MeterStack


class FakeCuda:
    """What the stack asks of torch.cuda: two devices, of which the process uses those that hold memory."""

    def __init__(
        self, log: list[str], held: tuple[int, ...], *, ready: bool = True, broken: tuple[int, ...] = ()
    ) -> None:
        self.log, self.held, self.ready, self.broken = log, held, ready, broken

    def is_initialized(self) -> bool:
        return self.ready

    def device_count(self) -> int:
        return 2

    def current_device(self) -> int:
        return 0

    def memory_reserved(self, index: int) -> int:
        return int(index in self.held)

    def synchronize(self, index: int) -> None:
        self.log.append(f"wait for {index}")
        if index in self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")


def cuda_window(monkeypatch: pytest.MonkeyPatch, cuda: FakeCuda, log: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with MeterStack() as stack:
        stack.add([stacked("m", log)])
        log.clear()
        with stack.window() as window:
            window.lap()
            log.append("work")


def test_devices_in_use_are_waited_for_at_the_ends_of_a_window_and_not_at_laps(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    cuda_window(monkeypatch, FakeCuda(log, held=(0, 1)), log)

    waits = ["wait for 0", "wait for 1"]
    assert [*waits, "m.mark", "m.mark", "work", *waits, "m.mark"] == log[: log.index("m.between")]


def test_device_that_the_process_does_not_use_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    cuda_window(monkeypatch, FakeCuda(log, held=()), log)

    assert {"wait for 0"} == {entry for entry in log if entry.startswith("wait")}


def test_cuda_that_is_not_ready_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    cuda_window(monkeypatch, FakeCuda(log, held=(0, 1), ready=False), log)

    assert not [entry for entry in log if entry.startswith("wait")]


def test_error_of_a_device_is_left_to_the_code_that_it_belongs_to(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    cuda_window(monkeypatch, FakeCuda(log, held=(0, 1), broken=(0,)), log)

    assert 3 == log.count("m.mark")
    assert 2 == log.count("wait for 1")
