"""The `rapl` meter on a fake powercap tree, whose files it reads as it reads the kernel's."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from powercap import RANGE, FakeTree, joules

from harness.meters.energy_counters import Counter, CounterGroup, Domain, Total
from harness.meters.powercap import find_zones
from harness.meters.rapl import ZoneMeter, create
from harness.plugins_loader import PluginChoice, load_plugins
from harness.records import Missing, Reading
from harness.sampler import Sampler

Plant = Callable[..., FakeTree]


class Recorder(Sampler):
    """A sampler that keeps its jobs for the test to call."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Callable[[], float | None]] = []
        self.delays: list[float] = []

    def add(self, name: str, job: Callable[[], float | None], delay: float = 0.0) -> None:
        self.jobs.append(job)
        self.delays.append(delay)


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Return what makes a fake tree, and points the meter to it."""

    def make(**about: Any) -> FakeTree:
        tree = FakeTree(tmp_path / "sys", **about)
        monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(tree.root))
        return tree

    return make


@pytest.fixture
def opened() -> Iterator[Callable[[], ZoneMeter]]:
    """Return what opens a meter, to be closed at the end."""
    meters: list[ZoneMeter] = []

    def open_one(**options: Any) -> ZoneMeter:
        meters.append(create(options))
        meters[-1].open()
        return meters[-1]

    yield open_one
    for meter in meters:
        meter.close()


Open = Callable[..., ZoneMeter]


def values(meter: ZoneMeter, start: Any, stop: Any) -> dict[tuple[str, str | None], float]:
    return {(r.resource, r.device): r.value for r in meter.between(start, stop) if isinstance(r, Reading)}


def reasons(meter: ZoneMeter, start: Any, stop: Any) -> dict[str, str]:
    return {r.resource: r.reason for r in meter.between(start, stop) if isinstance(r, Missing)}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_window_is_the_difference_of_two_readings_in_joules(plant: Plant, opened: Open) -> None:
    tree = plant()
    meter = opened()
    start = meter.mark()
    tree.set("intel-rapl:0", 1_000_000 + 2_500_001)
    tree.set("intel-rapl:0:2", 1_000_000 + 7)

    assert {
        ("energy_cpu", "package-0"): 2.500001,
        ("energy_cpu", None): 2.500001,
        ("energy_dram", "dram of package-0"): 7e-6,
        ("energy_dram", None): 7e-6,
    } == values(meter, start, meter.mark())


ranges = st.integers(2, 2**33) | st.just(RANGE)


@given(data=st.data(), range_uj=ranges)
def test_wrap_around_is_exact_at_any_moment(data: st.DataObject, range_uj: int) -> None:
    first = data.draw(st.integers(0, range_uj - 1))
    steps = data.draw(st.lists(st.integers(0, range_uj // 2), min_size=1, max_size=30))
    truth = first
    counter = Counter(Domain("energy_cpu", "package-0", range_uj), lambda: truth % range_uj)

    start = counter.total()
    for step in steps:
        truth += step
        stop = counter.total()
    assert isinstance(start, Total)
    assert Total(start.microjoules + sum(steps), 0) == stop


def test_wrap_right_after_opening_is_seen(plant: Plant, opened: Open) -> None:
    tree = plant(start_uj=RANGE - 1)
    meter = opened()
    start = meter.mark()
    tree.set("intel-rapl:0", RANGE + 1)

    assert 2e-6 == values(meter, start, meter.mark())["energy_cpu", None]


@pytest.mark.parametrize("range_uj", [RANGE, 65_532_610_987, 1_000_000, 10])
def test_several_wraps_between_two_marks_are_exact_with_the_guard(plant: Plant, opened: Open, range_uj: int) -> None:
    tree = plant(range_uj=range_uj, start_uj=range_uj - 3)
    sampler = Recorder()
    meter = opened(sampler=sampler)
    start = meter.mark()
    used = 0
    for _ in range(9):
        used += range_uj // 2
        tree.set("intel-rapl:0", range_uj - 3 + used)
        sampler.jobs[0]()

    assert used / 1e6 == values(meter, start, meter.mark())["energy_cpu", None]


def test_guard_and_marks_from_different_threads_lose_nothing() -> None:
    range_uj, truth = 1000, 0
    counter = Counter(Domain("energy_cpu", "package-0", range_uj), lambda: truth % range_uj)
    start = counter.total()
    stopped = threading.Event()

    def guard() -> None:
        while not stopped.is_set():
            counter.keep_up()

    threads = [threading.Thread(target=guard) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3000):
        truth += 400
        counter.total()
    stopped.set()
    for thread in threads:
        thread.join()
    stop = counter.total()
    assert isinstance(start, Total)
    assert isinstance(stop, Total)
    assert 3000 * 400 == stop.microjoules - start.microjoules


@pytest.mark.parametrize(
    ("range_uj", "limits", "seconds"),
    [
        (RANGE, (), RANGE / 2e6 / 1000),
        (RANGE, (95.0, 125.0), RANGE / 2e6 / 1000),
        (RANGE, (2000.0,), RANGE / 2e6 / 2000),
    ],
    ids=["no limit", "limit that may be lifted", "high limit"],
)
def test_guard_reads_once_in_the_shortest_time_that_fills_half_the_range(
    plant: Plant, opened: Open, range_uj: int, limits: tuple[float, ...], seconds: float
) -> None:
    plant(range_uj=range_uj, limits=limits, dram=False)
    sampler = Recorder()
    opened(sampler=sampler)

    assert [pytest.approx(seconds)] == sampler.delays
    assert pytest.approx(seconds) == sampler.jobs[0]()


def test_nothing_runs_between_the_edges_of_a_short_window(plant: Plant, opened: Open) -> None:
    plant()
    sampler = Sampler()
    meter = opened(sampler=sampler)
    meter.mark()
    time.sleep(0.3)
    meter.mark()
    sampler.close()

    assert 0 == sampler.busy_seconds


def test_guard_ends_with_the_meter(plant: Plant) -> None:
    plant()
    sampler = Recorder()
    meter = create({"sampler": sampler})
    meter.open()
    meter.close()

    assert sampler.jobs[0]() is None


def test_meter_without_a_sampler_makes_its_own_and_ends_it(plant: Plant) -> None:
    plant()
    before = threading.active_count()
    meter = create({})
    meter.open()

    assert before + 1 == threading.active_count()
    meter.close()
    assert before == threading.active_count()


def test_descriptors_are_kept_while_open_and_closed_at_the_end(plant: Plant) -> None:
    plant(sockets=2, psys=True)
    before = descriptors()
    meter = create({"sampler": Recorder()})
    meter.unavailable()
    meter.open()
    for _ in range(5):
        meter.mark()

    assert before + 5 == descriptors()
    meter.close()
    meter.close()
    assert before == descriptors()


@pytest.mark.parametrize("layout", ["both", "flat", "nested"])
@pytest.mark.parametrize("mmio", [False, True])
def test_each_package_counts_once_however_often_it_is_shown(plant: Plant, layout: str, mmio: bool) -> None:
    tree = plant(sockets=2, mmio=mmio, layout=layout, psys=True)

    zones = find_zones(tree.root)
    assert ["package-0", "package-1", "dram of package-0", "dram of package-1", "psys"] == [z.device for z in zones]
    assert {"intel-rapl"} == {zone.control for zone in zones}


def test_package_that_only_mmio_shows_is_read(plant: Plant) -> None:
    import shutil

    tree = plant(mmio=True, layout="flat")
    for zone in [zone for zone in tree.zones if zone.startswith("intel-rapl:")]:
        shutil.rmtree(tree.zones[zone])

    assert ["intel-rapl-mmio:0", "intel-rapl-mmio:0:0"] == [zone.id for zone in find_zones(tree.root)]


def test_sockets_and_dies_are_devices_and_their_sum(plant: Plant, opened: Open) -> None:
    tree = plant(sockets=2, dies=2, dram=False)
    meter = opened()
    start = meter.mark()
    for zone in find_zones(tree.root):
        number = 1 + int(zone.id.split(":")[1])
        tree.set(zone.id, 1_000_000 + number * 1_000_000)

    read = values(meter, start, meter.mark())
    # The tree numbers its zones from the last package to the first.
    assert {"package-0-die-0": 4, "package-0-die-1": 3, "package-1-die-0": 2, "package-1-die-1": 1, None: 10} == {
        device: value for (_, device), value in read.items()
    }


def test_psys_is_told_apart_and_never_added(plant: Plant, opened: Open) -> None:
    tree = plant(psys=True)
    meter = opened()
    start = meter.mark()
    tree.set("intel-rapl:1", 9_000_000)

    read = values(meter, start, meter.mark())
    assert (8.0, 0.0) == (read["energy_psys", None], read["energy_cpu", None])


@pytest.mark.parametrize(
    ("about", "resources"),
    [
        ({}, ("energy_cpu", "energy_dram")),
        ({"dram": False, "limits": ()}, ("energy_cpu",)),
        ({"dram": False, "psys": True}, ("energy_cpu", "energy_psys")),
    ],
    ids=["server", "AMD", "laptop"],
)
def test_only_resources_that_are_here_are_registered(plant: Plant, about: Any, resources: tuple[str, ...]) -> None:
    plant(**about)

    entries = load_plugins(PluginChoice(autoload=False)).registry.meters.entries
    assert resources == entries["rapl"].value.resources


def test_machine_without_a_tree_is_listed_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(tmp_path / "none"))

    registry = load_plugins(PluginChoice(autoload=False)).registry
    assert ("energy_cpu", "energy_dram") == registry.meters.entries["rapl"].value.resources
    reason = registry.meter_unavailable("rapl") or ""
    assert reason.startswith(f"no RAPL counters: no {tmp_path / 'none'}/intel-rapl here")
    assert "auto" not in reason
    assert "rapl" not in registry.automatic_meters()[0]


def forbid(monkeypatch: pytest.MonkeyPatch, *files: Path) -> None:
    """Have the system refuse to open *files*: tests may run as root, whom no mode of a file keeps out."""
    import io

    refused = {str(file) for file in files}

    def guarded(open_it: Callable[..., Any]) -> Callable[..., Any]:
        def opener(file: Any, *args: Any, **options: Any) -> Any:
            if str(file) in refused:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
            return open_it(file, *args, **options)

        return opener

    monkeypatch.setattr(os, "open", guarded(os.open))
    monkeypatch.setattr(io, "open", guarded(io.open))


def counter_files(tree: FakeTree, *zones: str) -> list[Path]:
    return [tree.root / zone / "energy_uj" for zone in zones]


def test_forbidden_counters_come_with_the_exact_remedy(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = plant()
    forbid(monkeypatch, *counter_files(tree, "intel-rapl:0", "intel-rapl:0:2"))

    reason = create({}).unavailable() or ""
    assert reason.startswith(f"{tree.root}/intel-rapl:0/energy_uj may not be read: since Linux 5.10 only root may")
    assert f"`sudo chmod a+r {tree.root}/intel-rapl*/energy_uj`" in reason
    assert 'SUBSYSTEM=="powercap"' in reason
    assert "\n" not in reason


AS_AN_ORDINARY_USER = """
import os
from harness.meters.rapl import create
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
print(create({}).unavailable())
"""


def test_ordinary_user_gets_a_remedy_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> str:
        return subprocess.run([sys.executable, "-c", AS_AN_ORDINARY_USER], capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o755)
        tree = FakeTree(Path(folder))
        monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(tree.root))
        for file in counter_files(tree, *tree.zones):
            file.chmod(0o000)
        told = ask()
        assert "since Linux 5.10 only root may" in told

        subprocess.run(told.partition("`sudo ")[2].partition("`")[0], shell=True, check=True)
        assert "None\n" == ask()


def test_dram_alone_forbidden_costs_only_dram(plant: Plant, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = plant()
    forbid(monkeypatch, *counter_files(tree, "intel-rapl:0:2"))

    assert create({}).unavailable() is None
    meter = opened()
    start, stop = meter.mark(), meter.mark()
    assert {("energy_cpu", "package-0"), ("energy_cpu", None)} == values(meter, start, stop).keys()
    assert "intel-rapl:0:2/energy_uj may not be read" in reasons(meter, start, stop)["energy_dram"]


def test_sum_is_missing_where_one_package_of_two_is_forbidden(
    plant: Plant, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = plant(sockets=2, dram=False)
    forbid(monkeypatch, *counter_files(tree, "intel-rapl:0"))
    meter = opened()
    start, stop = meter.mark(), meter.mark()

    assert {("energy_cpu", "package-0")} == values(meter, start, stop).keys()
    assert {"energy_cpu"} == reasons(meter, start, stop).keys()


@pytest.mark.parametrize("text", ["", "many\n"])
def test_domain_lost_half_way_costs_only_windows_that_end_there(plant: Plant, opened: Open, text: str) -> None:
    tree = plant()
    meter = opened()
    start = meter.mark()
    (tree.zones["intel-rapl:0:2"] / "energy_uj").write_text(text)
    lost = meter.mark()
    tree.set("intel-rapl:0:2", 3_000_000)
    stop = meter.mark()

    assert {"energy_dram"} == reasons(meter, start, lost).keys() == reasons(meter, lost, stop).keys()
    assert ("energy_cpu", None) in values(meter, start, lost)
    assert 2.0 == values(meter, start, stop)["energy_dram", None]


def test_error_of_the_device_at_a_mark_is_a_reason(plant: Plant, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(dram=False)
    meter = opened()
    start = meter.mark()
    monkeypatch.setattr(os, "pread", lambda *args: (_ for _ in ()).throw(OSError(errno.EIO, "gone")))

    assert "could not be read: OSError" in reasons(meter, start, meter.mark())["energy_cpu"]


def test_guard_that_cannot_read_loses_windows_around_it(plant: Plant, opened: Open) -> None:
    tree = plant()
    sampler = Recorder()
    meter = opened(sampler=sampler)
    start = meter.mark()
    (tree.zones["intel-rapl:0:2"] / "energy_uj").write_text("")
    sampler.jobs[0]()
    tree.set("intel-rapl:0:2", 3_000_000)
    after, stop = meter.mark(), meter.mark()

    assert "may have wrapped" in reasons(meter, start, stop)["energy_dram"]
    assert {} == reasons(meter, after, stop)


def test_process_that_was_stopped_for_long_does_not_guess(
    plant: Plant, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant()
    meter = opened(sampler=Recorder())
    start = meter.mark()
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert "may have wrapped" in reasons(meter, start, meter.mark())["energy_cpu"]


def test_machine_that_slept_does_not_guess(plant: Plant, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    plant()
    meter = opened()
    start = meter.mark()
    now = time.clock_gettime_ns
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: now(clock) + 10**9)

    assert "suspended" in reasons(meter, start, meter.mark())["energy_cpu"]


def test_nested_window_leaves_the_one_around_it_alone(plant: Plant, opened: Open) -> None:
    tree = plant(dram=False)
    meter = opened()
    marks = [meter.mark()]
    for total in (2, 5, 9):
        tree.set("intel-rapl:0", 1_000_000 * (1 + total))
        marks.append(meter.mark())

    assert 9.0 == values(meter, marks[0], marks[3])["energy_cpu", None]
    assert 3.0 == values(meter, marks[1], marks[2])["energy_cpu", None]


@pytest.mark.parametrize("limits", [(), (95.0, 125.0)], ids=["no limit", "limits"])
def test_truth_is_inside_the_error_bar_at_any_phase(plant: Plant, opened: Open, limits: tuple[float, ...]) -> None:
    tree = plant(limits=limits, start_uj=RANGE - 10_000_000)
    meter = opened(sampler=Recorder())
    chance = random.Random(1)
    now = 0.0
    for _ in range(400):
        now += chance.uniform(0, 0.3)
        began = now
        tree.show(now)
        start = meter.mark()
        now += chance.choice((0.0003, 0.02, 0.213, 1.037, 5.053))
        tree.show(now)
        (cpu,) = (r for r in meter.between(start, meter.mark()) if r.resource == "energy_cpu" and r.device is None)

        assert isinstance(cpu, Reading)
        assert abs(cpu.value - (joules("package", now) - joules("package", began))) <= cpu.uncertainty


def test_error_bar_is_small_for_long_windows(plant: Plant, opened: Open) -> None:
    tree = plant()
    meter = opened()
    tree.show(0)
    start = meter.mark()
    tree.show(5.053)
    records = list(meter.between(start, meter.mark()))

    bars = {r.resource: r.uncertainty / r.value for r in records if isinstance(r, Reading) and r.device is None}
    assert bars["energy_cpu"] < 0.001
    assert bars["energy_dram"] < 0.01


def test_count_of_one_joule_is_in_the_error_bar() -> None:
    coarse = Domain("energy_psys", "psys", (2**32 - 1) * 1_000_000, 500.0)

    assert coarse.uncertainty(0, 0) == pytest.approx(0.5 + 1)


def test_limit_that_is_switched_off_is_none(plant: Plant, opened: Open) -> None:
    tree = plant()
    (tree.zones["intel-rapl:0"] / "enabled").write_text("0\n")

    domains = opened().facts()["domains"]
    assert [None, None] == [domain["limit_watts"] for domain in domains]


def test_facts_name_the_zones_their_ranges_and_where_they_lie(plant: Plant, opened: Open) -> None:
    tree = plant(dram=False)

    facts = opened().facts()
    zone = {"zone": "intel-rapl:0", "name": "package-0", "path": str(tree.root / "intel-rapl:0")}
    domain = {"resource": "energy_cpu", "device": "package-0", "range_uj": RANGE, "limit_watts": 125.0}
    assert {"zones": [zone], "domains": [domain], "refused": []} == facts


def test_group_without_counters_says_what_it_was_told() -> None:
    group = CounterGroup("rapl", (), [("energy_cpu", "forbidden")], None)

    assert [Missing("energy_cpu", "forbidden")] == list(group.between(group.mark(), group.mark()))


class Live:
    """Windows on a tree whose counters run, and whether the process behind them kept its step."""

    def __init__(self, tree: FakeTree, meter: ZoneMeter, began: float) -> None:
        self.tree, self.meter, self.began = tree, meter, began

    def edge(self) -> tuple[Any, float, float]:
        """Return a mark, when it was taken, and how much it may be off because the process or this one was late."""
        late, before = self.tree.late(), time.monotonic()
        mark = self.meter.mark()
        return mark, before - self.began, max(0.0, late - 1e-3) + time.monotonic() - before

    def window(self, seconds: float) -> tuple[Reading, float, bool]:
        """Return what the meter says of the package, the truth, and whether the tree was in step at both edges."""
        start, begin, first = self.edge()
        time.sleep(seconds)
        stop, end, last = self.edge()
        (cpu,) = (r for r in self.meter.between(start, stop) if r.resource == "energy_cpu" and r.device is None)
        assert isinstance(cpu, Reading)
        return cpu, joules("package", end) - joules("package", begin), first + last < 2e-4


def test_truth_is_inside_the_error_bar_while_the_counters_run(plant: Plant, opened: Open) -> None:
    tree = plant(start_uj=RANGE - 5_000_000)
    chance = random.Random(2)
    with tree.live() as began:
        live = Live(tree, opened(), began)
        windows = [live.window(chance.uniform(0.001, 0.05)) for _ in range(120)]

    in_step = [(reading, truth) for reading, truth, on_time in windows if on_time]
    inside = [abs(reading.value - truth) <= reading.uncertainty for reading, truth in in_step]
    assert len(in_step) >= 30
    assert sum(inside) >= 0.99 * len(inside)


def test_many_wraps_in_one_window_are_counted_by_the_sampler_itself(plant: Plant, opened: Open) -> None:
    tree = plant(range_uj=10_000_000)
    with tree.live() as began:
        reading, truth, _ = Live(tree, opened(), began).window(1.5)

    assert truth > 50
    assert abs(reading.value - truth) < 5  # half a wrap; how late the tree's process was does not matter here
