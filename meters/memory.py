"""The `memory` meter: exact peaks of the process's resident set and of torch's CUDA allocator.

Both are high-water marks that the kernel and torch keep, so nothing is polled. A high-water mark can only be read and
reset; so that windows may nest and overlap, every mark reads and resets it and is linked to the mark after it. The
peak of a window is the highest of the stretches between its two marks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from attrs import define, frozen

from harness.hookspecs import hookimpl
from harness.meter import Meter, Readings
from harness.meters.linked_marks import stretches
from harness.records import Missing, Reading

_RESOURCES = ("memory_host", "memory_cuda", "memory_cuda_reserved")


@frozen
class CudaPeak:
    """The peaks of one device since the mark before, in bytes."""

    allocated: int
    reserved: int


@define(eq=False)
class MemoryMark:
    """An edge: the peaks since the mark before, or why they could not be read, and the link to the mark after.

    A peak that was lost is lost for every window around this mark, and says so. The meter holds only the newest mark.
    Older ones live as long as a window holds a mark before them, and no longer.
    """

    host: int | str
    cuda: Mapping[str, CudaPeak] | str
    next: MemoryMark | None = None


class HostPeak:
    """The kernel's high-water mark of this process's resident set, in bytes."""

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._proc = proc
        self._status = -1
        self._clear = -1

    def unavailable(self) -> str | None:
        """Return None where the mark can be read and reset, else the reason."""
        if not (self._proc / "clear_refs").exists():
            return f"no {self._proc / 'clear_refs'}: only Linux keeps a peak of the resident set that can be reset"
        if not os.access(self._proc / "clear_refs", os.W_OK):
            return f"{self._proc / 'clear_refs'} cannot be written here, so the peak cannot be reset"
        return None

    def open(self) -> None:
        self._status = os.open(self._proc / "status", os.O_RDONLY | os.O_CLOEXEC)
        self._clear = os.open(self._proc / "clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    def read_and_reset(self) -> int:
        """Return the peak in bytes since the last call, and start anew from what is resident now."""
        status = os.pread(self._status, 8192, 0)
        at = status.index(b"VmHWM:") + len(b"VmHWM:")
        os.pwrite(self._clear, b"5", 0)  # 5: reset the peak (proc(5), clear_refs)
        return int(status[at : status.index(b"kB", at)]) * 1024

    def close(self) -> None:
        for descriptor in (self._status, self._clear):
            if descriptor >= 0:
                os.close(descriptor)
        self._status = self._clear = -1

    @staticmethod
    def uncertainty() -> float:
        """Return how far the kernel's count may be off, in bytes.

        Since Linux 6.2 each CPU counts up to max(32, 2 x CPUs) pages before it adds them to the total
        (lib/percpu_counter.c); before, each thread up to 64.
        """
        cpus = os.cpu_count() or 1
        return float(max(64, 2 * cpus) * cpus * os.sysconf("SC_PAGE_SIZE"))


class MemoryMeter:
    """Peaks of host memory and, once the process uses CUDA through torch, of every device."""

    def __init__(self, host: HostPeak | None = None) -> None:
        self._host = host or HostPeak()
        self._host_reason: str | None = None
        self._last = MemoryMark("not opened", {})

    def unavailable(self) -> str | None:
        return self._host.unavailable()

    def open(self) -> None:
        self._host_reason = self._host.unavailable()
        if self._host_reason is None:
            self._host.open()
        self.mark()  # the first window must not see what came before it

    def mark(self) -> MemoryMark:
        host = _read(self._host.read_and_reset) if self._host_reason is None else self._host_reason
        mark = MemoryMark(host, _read(_cuda_peaks))
        self._last.next = self._last = mark
        return mark

    def between(self, start: MemoryMark, stop: MemoryMark, /) -> Readings:
        ends = list(stretches(start, stop))
        yield from self._host_readings(ends)
        yield from _cuda_readings(ends)

    def _host_readings(self, stretches: list[MemoryMark]) -> Readings:
        peaks = [mark.host for mark in stretches if isinstance(mark.host, int)]
        lost = [mark.host for mark in stretches if isinstance(mark.host, str)]
        if lost or not peaks:
            yield Missing("memory_host", lost[0] if lost else "the two marks are one")
        else:
            yield _reading("memory_host", max(peaks), self._host.uncertainty())

    def close(self) -> None:
        self._host.close()


def _loaded_torch() -> ModuleType | None:
    """Return torch if this process uses CUDA through it. Never imports it, never makes a CUDA context."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return torch if cuda is not None and cuda.is_initialized() else None


Peaks = TypeVar("Peaks", int, dict[str, CudaPeak])


def _read(peaks: Callable[[], Peaks]) -> Peaks | str:
    """Return what *peaks* gives, or why it cannot: a mark must be linked whatever happens."""
    try:
        return peaks()
    except Exception as error:
        return f"the peak was lost: {type(error).__name__}: {error}"


def _cuda_peaks() -> dict[str, CudaPeak]:
    torch = _loaded_torch()
    if torch is None:
        return {}

    found = {}
    for index in range(torch.cuda.device_count()):
        peak = CudaPeak(torch.cuda.max_memory_allocated(index), torch.cuda.max_memory_reserved(index))
        torch.cuda.reset_peak_memory_stats(index)
        found[_device_name(torch, index)] = peak
    return found


def _device_name(torch: ModuleType, index: int) -> str:
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    return f"GPU-{uuid}" if uuid is not None else f"cuda:{index}"


def _cuda_readings(stretches: list[MemoryMark]) -> Readings:
    lost = [mark.cuda for mark in stretches if isinstance(mark.cuda, str)]
    seen = [mark.cuda for mark in stretches if not isinstance(mark.cuda, str)]
    devices = list(dict.fromkeys(device for peaks in seen for device in peaks))
    if lost or not devices:
        reason = lost[0] if lost else "this process did not use CUDA through torch"
        yield from (Missing(resource, reason) for resource in ("memory_cuda", "memory_cuda_reserved"))
        return

    for resource, field in (("memory_cuda", "allocated"), ("memory_cuda_reserved", "reserved")):
        peaks = {name: max(getattr(peak[name], field) for peak in seen if name in peak) for name in devices}
        yield from (_reading(resource, peak, device=name) for name, peak in peaks.items())
        note = f"sum of the peaks of {len(peaks)} devices" if len(peaks) > 1 else None
        yield _reading(resource, sum(peaks.values()), note=note)


def _reading(
    resource: str, value: int, uncertainty: float = 0, device: str | None = None, note: str | None = None
) -> Reading:
    return Reading(
        resource=resource, value=value, unit="B", uncertainty=uncertainty, source="counter", device=device, note=note
    )


def _create(options: Mapping[str, Any]) -> Meter:
    if "pid" not in options:
        return MemoryMeter()

    from harness.meters import memory_tree

    return memory_tree.create(options)


@hookimpl
def harness_register_meters(register: Callable[..., None]) -> None:
    register("memory", _create, resources=_RESOURCES)
