"""The `rapl` meter on a fake powercap tree, whose files it reads as it reads the kernel's."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from powercap import RANGE, FakeTree
from zone_meters import Open, Plant, Recorder, descriptors, reasons, values

from harness.meters.energy_counters import CounterGroup
from harness.meters.powercap import find_zones
from harness.meters.rapl import create
from harness.plugins_loader import PluginChoice, load_plugins
from harness.records import Missing


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


def test_nested_window_leaves_the_one_around_it_alone(plant: Plant, opened: Open) -> None:
    tree = plant(dram=False)
    meter = opened()
    marks = [meter.mark()]
    for total in (2, 5, 9):
        tree.set("intel-rapl:0", 1_000_000 * (1 + total))
        marks.append(meter.mark())

    assert 9.0 == values(meter, marks[0], marks[3])["energy_cpu", None]
    assert 3.0 == values(meter, marks[1], marks[2])["energy_cpu", None]


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
