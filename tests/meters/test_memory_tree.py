"""The memory meter of a wrapped command: a fake cgroup tree, and polled processes that are real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.measuring.held_command import HeldCommand
from harness.measuring.stack import MeterStack
from harness.measuring.window import Window
from harness.meter import StackedMeter
from harness.meters.memory_tree import MemoryTreeMeter
from harness.meters.polled_peak import PolledPeak
from harness.meters.process_tree import ProcessTree
from harness.records import Missing, Reading

MIB = 1 << 20
RESOURCES = ("memory_host", "memory_cuda", "memory_cuda_reserved")


def no_cgroup(pid: int) -> str:
    return "polled in this test"


def command(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def measure(code: str) -> Window:
    """Meter the command that runs *code*, polled."""
    with HeldCommand(command(code)) as held, MeterStack() as stack:
        meter = MemoryTreeMeter(held.pid, stack.sampler, held.usage, no_cgroup)
        stack.add([StackedMeter("memory", meter, RESOURCES)])
        with stack.window() as window:
            held.release()
            held.wait()
    return window


@pytest.mark.parametrize("size", [20, 200])
def test_peak_of_one_process_is_exact(size: int) -> None:
    bare, full = measure("pass")["memory_host"], measure(f"bytearray({size << 20})")["memory_host"]

    assert abs(full.value - bare.value - size * MIB) <= full.uncertainty + bare.uncertainty + MIB
    assert "sampled" == full.source


def test_two_processes_add_up_and_their_shared_pages_do_not() -> None:
    child = "b = bytearray(50 << 20); time.sleep(0.3); os._exit(0)"
    code = f"import os, time\na = bytearray(100 << 20)\nif not os.fork():\n {child}\nos.wait()"
    reading = measure(code)["memory_host"]

    assert 150 * MIB < reading.value + reading.uncertainty
    assert reading.value - reading.uncertainty < 190 * MIB


def test_child_that_lived_between_two_looks_is_not_lost() -> None:
    code = "import os\nif not os.fork():\n bytearray(200 << 20); os._exit(0)\nos.wait()"

    assert 200 * MIB < measure(code)["memory_host"].value < 240 * MIB


def test_cuda_is_missing_with_the_reason() -> None:
    gaps = {gap.resource: gap.reason for gap in measure("pass").missing}

    assert {"memory_cuda", "memory_cuda_reserved"} == gaps.keys()
    assert all("only in its own processes" in reason for reason in gaps.values())


def test_process_that_there_is_not_is_a_reason() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()

    assert f"no /proc/{ended.pid}/stat" in (MemoryTreeMeter(ended.pid, find_cgroup=no_cgroup).unavailable() or "")


class FakeProc:
    """A /proc whose processes have the sizes that a test gives them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(
        self,
        pid: int,
        parent: int,
        now: int,
        peak: int,
        pss: int = 0,
        name: str = "x y)",
        faults: tuple[int, int] = (0, 0),
    ) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 0 0 {faults[0]} {faults[1]} 0 0")
        (folder / "status").write_text(f"Name:\t{name}\nVmHWM:\t{peak} kB\nVmRSS:\t{now} kB\n")
        (folder / "smaps_rollup").write_text(f"0-1 ---p [rollup]\nRss: {now} kB\nPss: {pss or now} kB\n")

    def drop(self, pid: int) -> None:
        for file in (self.root / str(pid)).iterdir():
            file.unlink()
        (self.root / str(pid)).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def test_tree_holds_descendants_and_no_others(proc: FakeProc) -> None:
    for pid, parent in ((10, 1), (11, 10), (12, 11), (20, 1), (21, 20)):
        proc.put(pid, parent, 1, 1)

    assert [10, 11, 12] == sorted(ProcessTree(10, proc.root).pids())


def test_tree_keeps_a_process_whose_parent_has_ended(proc: FakeProc) -> None:
    for pid, parent in ((10, 1), (11, 10), (12, 11)):
        proc.put(pid, parent, 1, 1)
    tree = ProcessTree(10, proc.root)
    tree.pids()
    proc.drop(11)
    proc.put(12, 1, 1, 1)

    assert [10, 12] == sorted(tree.pids())


def test_tree_finds_what_came_to_its_adopter(proc: FakeProc) -> None:
    for pid, parent in ((10, 1), (20, 1), (21, 20)):
        proc.put(pid, parent, 1, 1)
    tree = ProcessTree(10, proc.root, adopter=20)
    tree.pids()
    proc.put(11, 20, 1, 1)
    proc.put(12, 11, 1, 1)

    assert [10, 11, 12] == sorted(tree.pids())  # not 21, which was there before


def test_tree_asks_anew_for_the_parent_of_who_lost_it_meanwhile(proc: FakeProc) -> None:
    for pid, parent in ((10, 1), (11, 10), (12, 11), (20, 1)):
        proc.put(pid, parent, 1, 1)
    (proc.root / "11" / "stat").unlink()  # gone since it was listed
    tree = ProcessTree(10, proc.root, adopter=20)

    assert [10] == tree.pids()
    proc.drop(11)
    proc.put(12, 20, 1, 1)
    assert [10, 12] == sorted(tree.pids())


def test_held_process_has_no_memory_of_the_commands(proc: FakeProc) -> None:
    proc.put(10, 1, 9000, 9000, name="harness-held")

    assert ProcessTree(10, proc.root).resident(10) is None
    assert 9000 * 1024 == ProcessTree(10, proc.root).held_peak()


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ([(10, 100, 100)], [(10, 100, 100)], 100, 100),
        ([(10, 100, 100)], [(10, 50, 180)], 180, 180),
        ([(10, 100, 100), (11, 50, 60)], [(10, 100, 110)], 150, 170),
        ([(10, 100, 100)], [(10, 100, 100), (11, 30, 40)], 130, 140),
    ],
    ids=["steady", "a peak between", "one ended", "one began"],
)
def test_bounds_of_the_peak(
    proc: FakeProc, first: list[tuple[int, int, int]], second: list[tuple[int, int, int]], low: int, high: int
) -> None:
    peak = PolledPeak(ProcessTree(10, proc.root))
    for pid, now, most in first:
        proc.put(pid, 10 if pid > 10 else 1, now, most)
    peak.look()
    for pid in {pid for pid, _, _ in first} - {pid for pid, _, _ in second}:
        proc.drop(pid)
    for pid, now, most in second:
        proc.put(pid, 10 if pid > 10 else 1, now, most)

    assert (low * 1024, high * 1024) == peak.take()


def test_shared_pages_count_once(proc: FakeProc) -> None:
    proc.put(10, 1, 100, 100, pss=60)
    proc.put(11, 10, 100, 100, pss=60)

    assert (120 * 1024, 120 * 1024) == PolledPeak(ProcessTree(10, proc.root)).take()


class EndsWhileCounted(ProcessTree):
    """A tree whose process 11 ends, and leaves 10 alone with what they shared, as soon as its pages were counted."""

    def __init__(self, root: int, proc: FakeProc) -> None:
        super().__init__(root, proc.root)
        self._fake = proc

    def proportional(self, pid: int, otherwise: int) -> int:
        size = super().proportional(pid, otherwise)
        if pid == 11:
            self._fake.drop(11)
            self._fake.put(10, 1, 100, 100)
        return size

    def pids(self) -> list[int]:
        return sorted(super().pids(), reverse=True)


def test_pages_of_a_process_that_ends_while_they_are_counted_count_once(proc: FakeProc) -> None:
    proc.put(10, 1, 100, 100, pss=50)
    proc.put(11, 10, 150, 150, pss=100)

    low, high = PolledPeak(EndsWhileCounted(10, proc)).take()

    assert low <= 150 * 1024 <= high  # 100 and 100 would be 200


PAGES = 5 * os.sysconf("SC_PAGE_SIZE") // 1024  # kB of five


@pytest.mark.parametrize(
    ("others", "high"),
    [
        ([(11, 100, (0, 0))], 120),
        ([(11, 100, (5, 0))], 120 + PAGES),
        ([(11, 100, (2, 3))], 120 + PAGES),
        ([(12, 100, (0, 0))], 300),
    ],
    ids=["none came", "five came", "five of a child came", "one ended whose faults are lost"],
)
def test_shared_pages_may_be_copied_at_page_faults(
    proc: FakeProc, others: list[tuple[int, int, tuple[int, int]]], high: int
) -> None:
    proc.put(10, 1, 100, 100, pss=60)
    proc.put(11, 10, 100, 100, pss=60, faults=(1, 0))
    peak = PolledPeak(ProcessTree(10, proc.root))
    peak.take()
    proc.drop(11)
    for pid, now, (own, waited) in others:
        proc.put(pid, 10, now, 100, pss=60, faults=(own + 1, waited))

    assert (120 * 1024, high * 1024) == peak.take()


def test_faults_of_a_process_that_was_waited_for_are_its_parents(proc: FakeProc) -> None:
    proc.put(10, 1, 100, 100, pss=60)
    proc.put(11, 10, 100, 100, pss=60, faults=(20, 0))
    peak = PolledPeak(ProcessTree(10, proc.root))
    peak.take()
    proc.drop(11)
    proc.put(10, 1, 100, 100, faults=(0, 25))

    assert (100 * 1024, (120 + PAGES) * 1024) == peak.take()


# Takes 150 MiB; a child waits WAIT seconds, writes them all, which copies them, and ends HOLD seconds later.
COPYING = """
import os, time
a = bytearray(150 << 20)
a[::4096] = b"x" * len(a[::4096])
if not os.fork():
    time.sleep(WAIT)
    a[::4096] = b"y" * len(a[::4096])
    time.sleep(HOLD)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("wait", [0, 0.03, 0.2])
@pytest.mark.parametrize("hold", [0, 0.2])
def test_pages_that_are_copied_when_they_are_written_are_in_the_bar(wait: float, hold: float) -> None:
    reading = measure(COPYING.replace("WAIT", str(wait)).replace("HOLD", str(hold)))["memory_host"]

    assert 300 * MIB < reading.value + reading.uncertainty
    assert reading.value - reading.uncertainty < 340 * MIB


def test_readings_and_gaps_are_all_there() -> None:
    window = measure("pass")

    said: list[Reading | Missing] = [*window.readings, *window.missing]
    assert set(RESOURCES) == {record.resource for record in said}
