"""A fake powercap tree: real files under a folder, laid out and linked as the kernel does it, with a known power trace.

`FakeTree(...).set(zone, microjoules)` moves a counter by hand. `with tree.live():` has a process of its own move all of
them about once in a millisecond, as the trace has it: `python powercap.py ROOT BEGAN` is that process.

The process adds up power over time piece by piece; the truth that tests compare with (`joules`) is a closed form.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

RANGE = 262_143_328_850
STEP = 1e-3
HALF_PERIOD = 0.15
LOW, HIGH = 20.0, 90.0
DRAM, PSYS = 5.0, 120.0
# A number of fixed width, so that a reader never sees half of a longer one.
WIDTH = 20


def joules(kind: str, seconds: float) -> float:
    """Return what a zone of *kind* used in the first *seconds* of the trace: the truth, in closed form."""
    if kind != "package":
        return {"dram": DRAM, "psys": PSYS, "core": 10.0}[kind] * seconds
    periods, rest = divmod(seconds, 2 * HALF_PERIOD)
    return periods * HALF_PERIOD * (LOW + HIGH) + LOW * min(rest, HALF_PERIOD) + HIGH * max(0.0, rest - HALF_PERIOD)


class FakeTree:
    """A tree of *sockets* packages with *dies* each. `root` is what HARNESS_POWERCAP_ROOT should say.

    *layout*: "both" as the kernel shows it; "flat", zones beside each other only; "nested", inside each other only.
    *limits* are the watts of the constraints of a package.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sockets: int = 1,
        dies: int = 1,
        dram: bool = True,
        psys: bool = False,
        mmio: bool = False,
        range_uj: int = RANGE,
        start_uj: int = 1_000_000,
        limits: tuple[float, ...] = (95.0, 125.0),
        layout: str = "both",
    ) -> None:
        self.devices = folder / "devices" / "virtual" / "powercap"
        self.root = self.devices if layout == "nested" else folder / "class" / "powercap"
        self.root.mkdir(parents=True, exist_ok=True)
        self.zones: dict[str, Path] = {}
        self._about = (range_uj, start_uj, limits)
        self._flat = layout == "flat"
        self._running: list[_Running] = []
        # The kernel numbers packages as they come: here the last first, so that number and name differ.
        names = [f"package-{s}-die-{d}" if dies > 1 else f"package-{s}" for s in range(sockets) for d in range(dies)]
        self._drivers(list(reversed(names)), dram, psys, mmio)
        if layout == "both":
            self._link()

    def _drivers(self, packages: list[str], dram: bool, psys: bool, mmio: bool) -> None:
        for number, package in enumerate(packages):
            zone = f"intel-rapl:{number}"
            self._zone(zone, package)
            for child, name in enumerate(["core", "uncore", *["dram"] * dram]):
                self._zone(f"{zone}:{child}", name)
            if mmio:
                self._zone(f"intel-rapl-mmio:{number}", package)
                self._zone(f"intel-rapl-mmio:{number}:0", "dram")
        if psys:
            self._zone(f"intel-rapl:{len(packages)}", "psys")

    def _zone(self, zone: str, name: str) -> None:
        range_uj, start_uj, limits = self._about
        control, *numbers = zone.split(":")
        above = [control, *[":".join([control, *numbers[: n + 1]]) for n in range(len(numbers) - 1)]]
        path = self.root / zone if self._flat else self.devices.joinpath(*above, zone)
        path.mkdir(parents=True)
        files = {"name": name, "max_energy_range_uj": str(range_uj), "enabled": "1"}
        files["energy_uj"] = f"{start_uj % range_uj:0{WIDTH}d}"
        for number, watts in enumerate(limits if name.startswith("package") else ()):
            files[f"constraint_{number}_power_limit_uw"] = str(int(watts * 1e6))
        for file, text in files.items():
            (path / file).write_text(f"{text}\n")
        self.zones[zone] = path

    def _link(self) -> None:
        """Show control types and zones beside each other, and in each zone what it belongs to, as links."""
        for path in [*self.devices.iterdir(), *self.zones.values()]:
            (self.root / path.name).symlink_to(os.path.relpath(path, self.root))
            (path / "subsystem").symlink_to(os.path.relpath(self.root, path))
            if path in self.zones.values():
                (path / "device").symlink_to("..")

    def set(self, zone: str, microjoules: int) -> None:
        """Have the counter of *zone* show *microjoules*, wrapped around."""
        with (self.zones[zone] / "energy_uj").open("r+") as file:
            file.write(f"{microjoules % self._about[0]:0{WIDTH}d}\n")

    def show(self, seconds: float) -> None:
        """Have every counter show what it would *seconds* after the beginning, which only grow: its last whole step."""
        if not self._running:
            self._running = [_Running(path) for path in self.zones.values()]
        for counter in self._running:
            counter.move(seconds // STEP * STEP)

    @contextlib.contextmanager
    def live(self) -> Iterator[float]:
        """Have the counters run, and yield the time (of the monotonic clock) at which their trace began."""
        began = time.monotonic()
        words = [sys.executable, __file__, str(self.root), str(began)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()  # it says so when all counters run
                yield began
            finally:
                process.kill()

    def late(self) -> float:
        """Return the seconds since the process last moved the counters."""
        return time.monotonic() - float((self.root / "moved").read_text())


def _kind(path: Path) -> str:
    name = (path / "name").read_text().strip()
    return "package" if name.startswith("package") else "core" if name == "uncore" else name


class _Running:
    """A counter that adds up the power of its trace from one call to the next."""

    def __init__(self, path: Path) -> None:
        self._watts = {"dram": DRAM, "psys": PSYS, "core": 10.0}.get(_kind(path))
        self._range = int((path / "max_energy_range_uj").read_text())
        self._file = os.open(path / "energy_uj", os.O_RDWR)
        self._start = int(os.pread(self._file, 64, 0))
        self._used = self._until = 0.0

    def move(self, seconds: float) -> None:
        while self._until < seconds:
            half = int(self._until / HALF_PERIOD + 1e-9)
            stop = min(seconds, (half + 1) * HALF_PERIOD)
            watts = self._watts if self._watts is not None else HIGH if half % 2 else LOW
            self._used += watts * (stop - self._until)
            self._until = stop
        shown = (self._start + int(self._used * 1e6)) % self._range
        os.pwrite(self._file, f"{shown:0{WIDTH}d}\n".encode(), 0)


def _run(root: Path, began: float) -> None:
    """Move all counters until killed, more often than once in a step."""
    with contextlib.suppress(OSError):  # only root may ask for that
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    folders = {path.parent.name: path.parent for path in root.glob("**/energy_uj")}
    folders |= {path.name: path for path in root.iterdir() if ":" in path.name}
    counters = [_Running(path) for path in folders.values()]
    moved = os.open(root / "moved", os.O_RDWR | os.O_CREAT)
    first = True
    while True:
        now = time.monotonic()
        for counter in counters:
            counter.move(now - began)
        os.pwrite(moved, f"{now:020.9f}\n".encode(), 0)
        if first:
            print("running", flush=True)
        first = False
        time.sleep(max(0.0, now + 0.7 * STEP - time.monotonic()))


if __name__ == "__main__":
    _run(Path(sys.argv[1]), float(sys.argv[2]))
