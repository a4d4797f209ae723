"""The `pyrapl` meter: the pyRAPL library on a fake powercap tree, with totals of ours around it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from powercap import RANGE, FakeTree, joules
from zone_meters import Open, Plant, descriptors, values

from harness.meters import powercap, pyrapl, rapl
from harness.meters.rapl import ZoneMeter
from harness.plugins_loader import PluginChoice, load_plugins
from harness.records import Missing, Reading


@pytest.fixture
def opened() -> Iterator[Open]:
    meters: list[ZoneMeter] = []

    def open_one() -> ZoneMeter:
        meters.append(pyrapl.create({}))
        meters[-1].open()
        return meters[-1]

    yield open_one
    for meter in meters:
        meter.close()


def test_library_is_read_socket_by_socket_in_joules(plant: Plant, opened: Open) -> None:
    tree = plant(sockets=2)
    meter = opened()
    start = meter.mark()
    tree.set("intel-rapl:1", 3_000_001)  # the tree numbers its zones from the last package to the first
    tree.set("intel-rapl:0:2", 1_500_000)

    expected = {"package-0": 2.000001, "package-1": 0, None: 2.000001}
    dram = {"dram of package-0": 0, "dram of package-1": 0.5, None: 0.5}
    assert {("energy_cpu", device): value for device, value in expected.items()} | {
        ("energy_dram", device): value for device, value in dram.items()
    } == values(meter, start, meter.mark())


def test_wrap_around_is_exact_where_the_library_would_be_negative(plant: Plant, opened: Open) -> None:
    tree = plant(start_uj=RANGE - 1)
    meter = opened()
    start = meter.mark()
    for total in (RANGE // 2, RANGE, RANGE + RANGE // 3):
        tree.set("intel-rapl:0", RANGE - 1 + total)
        stop = meter.mark()

    assert (RANGE + RANGE // 3) / 1e6 == values(meter, start, stop)["energy_cpu", None]


def test_agrees_with_rapl_to_the_microjoule(plant: Plant, opened: Open) -> None:
    tree = plant(sockets=2)
    meters = [opened(), rapl.create({})]
    meters[1].open()
    tree.show(0)
    starts = [meter.mark() for meter in meters]
    tree.show(0.2135)

    ours, theirs = (values(meter, start, meter.mark()) for meter, start in zip(meters, starts, strict=True))
    meters[1].close()
    assert ours == theirs
    assert ours["energy_cpu", "package-0"] == pytest.approx(joules("package", 0.213))


def test_machine_without_dram_gives_the_package(plant: Plant, opened: Open) -> None:
    plant(dram=False, psys=True)
    meter = opened()

    assert {("energy_cpu", "package-0"), ("energy_cpu", None)} == values(meter, meter.mark(), meter.mark()).keys()
    entry = load_plugins(PluginChoice(autoload=False)).registry.meters.entries["pyrapl"]
    assert ("energy_cpu",) == entry.value.resources


def test_library_reads_the_kernels_folder_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    """Nothing of the library is replaced but `open` and `exists`, which find /sys in a folder of the test."""
    tree = FakeTree(tmp_path, sockets=2)
    for number in range(4):
        topology = tmp_path / f"devices/system/cpu/cpu{number}/topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(f"{number // 2}\n")
    (tmp_path / "devices/system/cpu/present").write_text("0-3\n")
    put_sys_into(tmp_path, monkeypatch)
    monkeypatch.setattr(powercap, "STANDARD_ROOT", tree.root)
    monkeypatch.setattr(pyrapl, "STANDARD_ROOT", tree.root)

    meter = opened()
    start = meter.mark()
    tree.set("intel-rapl:1", 4_000_000)
    assert 3.0 == values(meter, start, meter.mark())["energy_cpu", "package-0"]
    assert [] == [gap for gap in meter.between(start, start) if isinstance(gap, Missing)]


def put_sys_into(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pyrapl._without_noise():
        from pyRAPL import device_api

    def moved(path: str) -> str:
        return str(folder) + path.removeprefix("/sys")

    def open_moved(path: str, mode: str = "r") -> Any:
        return Path(moved(path)).open(mode)

    exists = SimpleNamespace(exists=lambda path: Path(moved(path)).exists())
    monkeypatch.setattr(device_api, "os", SimpleNamespace(path=exists))
    monkeypatch.setattr(device_api, "open", open_moved, raising=False)


def test_refusal_of_the_library_is_a_reason(plant: Plant, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = plant()
    with pyrapl._without_noise():
        import pyRAPL

    def refuse(api: object) -> None:
        raise pyRAPL.PyRAPLCantInitDeviceAPI

    monkeypatch.setattr(pyRAPL.PkgAPI, "_open_rapl_files", refuse)
    meter = opened()
    records = list(meter.between(meter.mark(), meter.mark()))
    reason = f"{tree.root}/intel-rapl:0/energy_uj cannot be read: pyRAPL raised PyRAPLCantInitDeviceAPI"
    assert Missing("energy_cpu", reason) in records
    assert any(isinstance(record, Reading) and record.resource == "energy_dram" for record in records)


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"dies": 2}, "pyRAPL knows one package for each socket, and not 'package-0-die-0'; the meter rapl reads it"),
        ({"layout": "flat"}, "intel-rapl/intel-rapl:0, which is not there; the meter rapl reads it"),
    ],
)
def test_tree_that_the_library_cannot_read_is_unavailable(plant: Plant, about: dict[str, Any], reason: str) -> None:
    plant(**about)

    assert reason in (pyrapl.create({}).unavailable() or "")


def test_without_the_library_the_reason_is_how_to_get_it(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert "the package pyRAPL is not installed: pip install pyRAPL" == pyrapl.create({}).unavailable()


def test_without_a_tree_the_library_is_not_even_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(tmp_path))

    assert "no RAPL counters" in (pyrapl.create({}).unavailable() or "")


QUIET = """
import logging, sys
from harness.meters.pyrapl import create
meter = create({})
assert meter.unavailable() is None and "pandas" not in sys.modules and "pyRAPL" not in sys.modules
meter.open()
meter.close()
assert "pyRAPL" in sys.modules and logging.getLogger().handlers == [] and logging.getLogger().filters == []
"""


def test_library_is_imported_late_and_says_nothing(plant: Plant) -> None:
    plant()

    ended = subprocess.run([sys.executable, "-W", "always", "-c", QUIET], capture_output=True, text=True, check=False)
    assert (0, "", "") == (ended.returncode, ended.stdout, ended.stderr)


def test_files_of_the_library_are_closed(plant: Plant) -> None:
    plant(sockets=2)
    before = descriptors()
    meter = pyrapl.create({})
    meter.open()

    assert before + 4 == descriptors()
    meter.close()
    assert before == descriptors()


def test_auto_takes_rapl_and_names_it_as_the_reason(plant: Plant) -> None:
    plant()

    chosen, left_out = load_plugins(PluginChoice(autoload=False)).registry.automatic_meters()
    assert "rapl" in chosen
    assert "what it reads is read by rapl" == left_out["pyrapl"]
