"""Cgroups for commands: a fake tree of them, and a real one where it may be made."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.measuring.held_command import HeldCommand
from harness.measuring.stack import MeterStack
from harness.meter import StackedMeter
from harness.meters import cgroup
from harness.meters.cgroup import Cgroup, create_cgroup
from harness.meters.memory_tree import MemoryTreeMeter

MIB = 1 << 20
RESOURCES = ("memory_host", "memory_cuda", "memory_cuda_reserved")


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
    with HeldCommand([sys.executable, "-I", "-S", "-c", "bytearray(100 << 20)"]) as held:
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
