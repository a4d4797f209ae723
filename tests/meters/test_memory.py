"""The memory meter: exact peaks, and windows that do not destroy each other's."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.measuring.stack import MeterStack
from harness.meter import StackedMeter
from harness.meters.memory import HostPeak, MemoryMeter
from harness.records import Missing, Reading

MIB = 1 << 20


def touch(mebibytes: int) -> None:
    """Make so much memory resident, and give it back to the kernel at once."""
    with mmap.mmap(-1, mebibytes * MIB) as pages:
        for at in range(0, len(pages), mmap.PAGESIZE):
            pages[at] = 1


@pytest.fixture
def stack() -> Any:
    with MeterStack() as opened:
        opened.add([StackedMeter("memory", MemoryMeter(), ("memory_host", "memory_cuda", "memory_cuda_reserved"))])
        yield opened


def host(window: Any, epoch: int | None = None) -> Reading:
    return next(r for r in window.readings if r.resource == "memory_host" and r.epoch == epoch)


def test_peak_is_seen_after_the_memory_is_gone(stack: MeterStack) -> None:
    with stack.window() as quiet:
        pass
    with stack.window() as busy:
        touch(200)

    rise = host(busy).value - host(quiet).value
    assert abs(rise - 200 * MIB) <= host(busy).uncertainty + host(quiet).uncertainty


def test_peak_before_the_window_is_not_in_it(stack: MeterStack) -> None:
    touch(300)
    with stack.window() as window:
        touch(50)
    with stack.window() as quiet:
        pass

    rise = host(window).value - host(quiet).value
    assert abs(rise - 50 * MIB) <= host(window).uncertainty + host(quiet).uncertainty


def test_inner_window_does_not_destroy_the_outer_peak(stack: MeterStack) -> None:
    with stack.window() as outer:
        touch(200)
        with stack.window() as inner:
            touch(20)

    assert host(outer).value - host(inner).value > 150 * MIB


def test_overlapping_windows_see_their_own_peaks(stack: MeterStack) -> None:
    first_start = stack.edge("start")
    touch(50)
    second_start = stack.edge("start")
    touch(150)
    first_stop = stack.edge("stop")
    touch(300)
    second_stop = stack.edge("stop")

    first = stack.between(first_start, first_stop)[0][0].value
    second = stack.between(second_start, second_stop)[0][0].value
    assert second - first == pytest.approx(150 * MIB, abs=2 * HostPeak.uncertainty())


def test_laps_have_their_own_peaks(stack: MeterStack) -> None:
    with stack.window() as window:
        touch(20)
        window.lap()
        touch(200)
        window.lap()

    assert host(window, epoch=2).value - host(window, epoch=1).value == pytest.approx(
        180 * MIB, abs=2 * HostPeak.uncertainty()
    )
    assert host(window).value == host(window, epoch=2).value


def test_old_marks_are_let_go() -> None:
    meter = MemoryMeter()
    meter.open()
    first = meter.mark()
    for _ in range(1000):
        meter.mark()

    assert first.next is not None
    assert meter._last.next is None
    meter.close()


def test_marks_in_the_wrong_order_are_refused() -> None:
    meter = MemoryMeter()
    meter.open()
    first, second = meter.mark(), meter.mark()

    with pytest.raises(ValueError, match="order"):
        list(meter.between(second, first))
    meter.close()


def test_without_a_resettable_peak_the_reason_is_told(tmp_path: Path) -> None:
    meter = MemoryMeter(HostPeak(tmp_path))

    assert "clear_refs" in (meter.unavailable() or "")


def test_cuda_memory_is_missing_with_the_reason_without_cuda(stack: MeterStack) -> None:
    with stack.window() as window:
        pass

    reasons = {missing.resource: missing.reason for missing in window.missing}
    assert {"memory_cuda", "memory_cuda_reserved"} == reasons.keys()
    assert "did not use CUDA" in reasons["memory_cuda"]


def test_importing_and_using_the_meter_leaves_torch_alone() -> None:
    program = (
        "import sys; from harness.measuring.block import measure\n"
        "with measure('memory') as m: pass\n"
        "assert m['memory'].value > 0; assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", program], check=True)


class FakeCuda:
    """The part of torch.cuda that the meter reads: two devices with peaks that a test sets."""

    def __init__(self) -> None:
        self.peaks = [0, 0]
        self.initialized = True

    def is_initialized(self) -> bool:
        return self.initialized

    def device_count(self) -> int:
        return 2

    def max_memory_allocated(self, index: int) -> int:
        return self.peaks[index]

    def max_memory_reserved(self, index: int) -> int:
        return 2 * self.peaks[index]

    def reset_peak_memory_stats(self, index: int) -> None:
        self.peaks[index] = 0

    def get_device_properties(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(uuid=f"uuid-{index}")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))
    return fake


def cuda_records(meter: MemoryMeter, start: Any, stop: Any) -> dict[tuple[str, str | None], float]:
    records = [r for r in meter.between(start, stop) if r.resource.startswith("memory_cuda")]
    return {(r.resource, r.device): r.value for r in records if isinstance(r, Reading)}


def test_each_cuda_device_has_its_peak_and_the_total_is_their_sum(cuda: FakeCuda) -> None:
    meter = MemoryMeter()
    meter.open()
    start = meter.mark()
    cuda.peaks = [100, 30]
    stop = meter.mark()

    found = cuda_records(meter, start, stop)
    allocated = {device: value for (resource, device), value in found.items() if resource == "memory_cuda"}
    assert {"GPU-uuid-0": 100, "GPU-uuid-1": 30, None: 130} == allocated
    assert 260 == found["memory_cuda_reserved", None]
    meter.close()


def test_cuda_peak_of_an_outer_window_survives_an_inner_one(cuda: FakeCuda) -> None:
    meter = MemoryMeter()
    meter.open()
    outer = meter.mark()
    cuda.peaks = [100, 0]
    inner = meter.mark()
    cuda.peaks = [10, 0]
    stop = meter.mark()

    assert 100 == cuda_records(meter, outer, stop)["memory_cuda", None]
    assert 10 == cuda_records(meter, inner, stop)["memory_cuda", None]
    meter.close()


def test_cuda_that_begins_inside_the_window_is_metered(cuda: FakeCuda) -> None:
    cuda.initialized = False
    meter = MemoryMeter()
    meter.open()
    start = meter.mark()
    cuda.initialized, cuda.peaks = True, [7, 0]
    stop = meter.mark()

    assert 7 == cuda_records(meter, start, stop)["memory_cuda", None]
    assert not any(isinstance(r, Missing) and r.resource == "memory_cuda" for r in meter.between(start, stop))
    meter.close()


def test_cuda_that_fails_at_an_inner_mark_costs_no_window_its_host_peak(
    cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MemoryMeter()
    meter.open()
    quiet = meter.mark()
    outer = meter.mark()
    touch(200)
    with monkeypatch.context() as broken:
        broken.setattr(cuda, "max_memory_allocated", lambda index: 1 // 0)
        meter.mark()
    stop = meter.mark()

    records = {record.resource: record for record in meter.between(outer, stop)}
    before = next(r.value for r in meter.between(quiet, outer) if isinstance(r, Reading))
    assert isinstance(records["memory_host"], Reading)
    assert records["memory_host"].value - before > 150 * MIB
    assert isinstance(records["memory_cuda"], Missing)
    assert "ZeroDivisionError" in records["memory_cuda"].reason
    meter.close()
