"""The memory meter of a wrapped command: a fake cgroup tree, and polled processes that are real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.measuring.held_command import HeldCommand
from harness.measuring.stack import MeterStack
from harness.measuring.window import Window
from harness.meter import StackedMeter
from harness.meters import cgroup
from harness.meters.cgroup import Cgroup, create_cgroup
from harness.meters.memory_tree import MemoryTreeMeter, PolledPeak
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

    def put(self, pid: int, parent: int, now: int, peak: int, pss: int = 0, name: str = "x y)") -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1")
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


class FakeCgroups:
    """A folder like /sys/fs/cgroup, of which this process is in the group /mine/own."""

    def __init__(self, root: Path, version: int) -> None:
        self.root = root
        self.membership = root / "membership"
        if version == 2:
            self.membership.write_text("0::/mine/own\n")
            (root / "cgroup.controllers").write_text("cpu memory\n")
        else:
            self.membership.write_text("4:memory:/mine/own\n0::/\n")
        self.own = root / ("" if version == 2 else "memory") / "mine" / "own"
        self.own.mkdir(parents=True)

    def hand_on_memory(self, folder: Path) -> None:
        (folder / "cgroup.subtree_control").write_text("cpu memory\n")

    def create(self, pid: int = 42) -> Cgroup | str:
        return create_cgroup(pid, self.root, self.membership)


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def cgroups(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCgroups:
    """Cgroups that belong to this user; a new one has its files at once, as from the kernel."""
    monkeypatch.setattr(cgroup, "_is_ours", lambda folder: True)
    fake = FakeCgroups(tmp_path, request.param)
    real = Path.mkdir

    def mkdir(folder: Path, *args: object, **options: object) -> None:
        real(folder, *args, **options)  # type: ignore[arg-type]
        if folder.name.startswith("harness-"):
            (folder / ("memory.peak" if request.param == 2 else "memory.max_usage_in_bytes")).write_text("12345678\n")
            (folder / "cgroup.procs").touch()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    return fake


def emptied(group: Cgroup) -> None:
    """Remove the files of a fake cgroup, which the kernel's go with their folder."""
    for file in group.folder.iterdir():
        file.unlink()


def test_command_gets_a_cgroup_of_its_own_and_it_is_removed(cgroups: FakeCgroups) -> None:
    cgroups.hand_on_memory(cgroups.own)
    group = cgroups.create()

    assert isinstance(group, Cgroup)
    assert cgroups.own / "harness-42" == group.folder
    assert "42" == (group.folder / "cgroup.procs").read_text()
    emptied(group)
    group.remove()
    assert not group.folder.exists()


def test_peak_of_the_cgroup_is_the_reading(cgroups: FakeCgroups) -> None:
    cgroups.hand_on_memory(cgroups.own)
    with MeterStack() as stack:
        meter = MemoryTreeMeter(os.getpid(), find_cgroup=cgroups.create)
        stack.add([StackedMeter("memory", meter, RESOURCES)])
        with stack.window() as window:
            (peak,) = (cgroups.own / f"harness-{os.getpid()}").glob("memory.*")
            assert peak.read_text().startswith("0")  # begun anew at the first edge
            peak.write_text("12345678\n")

        reading = window["memory_host"]
    assert (12345678, "counter") == (reading.value, reading.source)
    assert "peak of the command's cgroup, page cache included" == reading.note
    assert reading.uncertainty > 0


def test_cgroup_with_processes_still_in_it_is_left(cgroups: FakeCgroups) -> None:
    cgroups.hand_on_memory(cgroups.own)
    group = cgroups.create()

    assert isinstance(group, Cgroup)
    group.remove()  # its files stand for the processes: the folder cannot be removed
    assert group.folder.exists()


@pytest.mark.parametrize("cgroups", [2], indirect=True)
def test_of_version_2_the_one_above_is_taken_where_it_hands_memory_on(cgroups: FakeCgroups) -> None:
    cgroups.hand_on_memory(cgroups.own.parent)
    group = cgroups.create()

    assert isinstance(group, Cgroup)
    assert cgroups.own.parent == group.folder.parent


@pytest.mark.parametrize("cgroups", [2], indirect=True)
def test_of_version_2_none_is_made_where_none_hands_memory_on(cgroups: FakeCgroups) -> None:
    assert "HARNESS_CGROUP can name one" in str(cgroups.create())


def test_cgroup_of_others_is_let_be(tmp_path: Path) -> None:
    fake = FakeCgroups(tmp_path, 1)
    if os.geteuid() != 0:
        os.chmod(fake.own, 0o555)  # noqa: PTH101

    assert isinstance(fake.create(), str)
    assert [] == list(fake.own.iterdir())


def test_environment_names_the_folder(cgroups: FakeCgroups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given").mkdir()
    monkeypatch.setenv(cgroup.FOLDER, str(tmp_path / "given"))
    group = cgroups.create()

    assert isinstance(group, Cgroup)
    assert tmp_path / "given" == group.folder.parent


def test_folder_that_counts_no_memory_is_a_reason_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cgroup.FOLDER, str(tmp_path))

    assert f"{tmp_path}: it does not count memory" == create_cgroup(42)
    assert [] == list(tmp_path.iterdir())


@pytest.fixture
def real_cgroup() -> Iterator[tuple[HeldCommand, Cgroup]]:
    with HeldCommand(command("bytearray(100 << 20)")) as held:
        found = create_cgroup(held.pid)
        if isinstance(found, str):
            pytest.skip(f"no cgroup may be made here: {found}")
        yield held, found
    found.remove()


def test_kernel_counts_the_command(real_cgroup: tuple[HeldCommand, Cgroup]) -> None:
    held, group = real_cgroup
    group.read_and_reset()
    held.release()
    held.wait()

    assert 100 * MIB < group.read_and_reset() < 150 * MIB
    assert 0 == held.reap()


def test_readings_and_gaps_are_all_there() -> None:
    window = measure("pass")

    said: list[Reading | Missing] = [*window.readings, *window.missing]
    assert set(RESOURCES) == {record.resource for record in said}
