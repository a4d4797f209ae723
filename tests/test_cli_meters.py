"""Meters of devices from the command line to the table, against fakes in place of the devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from powercap import RANGE, FakeTree

from harness.store.reading import open_reader

BARE = ("--plugin", "chaos", "--executor", "bare", "--dataset", "nothing", "--device", "cpu")


@pytest.fixture(autouse=True)
def _chaos_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTree:
    fake = FakeTree(tmp_path / "sys", start_uj=RANGE - 1)
    monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(fake.root))
    return fake


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", "run", *BARE, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("meter", ["rapl", "pyrapl"])
def test_run_with_a_cpu_meter_ends_in_joules_and_their_pepr(tree: FakeTree, meter: str) -> None:
    with tree.live():
        done = run("--model", "done", "--model", "wait", "--meter", meter)

    assert 0 == done.returncode, done.stderr
    assert "PePR-E" in done.stdout
    with open_reader(Path("harness.sqlite")) as reader:
        read = [row for row in reader.readings() if row["epoch"] is None]
        assert [] == reader.missing()
    assert {"energy_cpu", "energy_dram", "energy"} >= {row["resource"] for row in read} >= {"energy_cpu", "energy_dram"}
    assert {"package-0", "dram of package-0", None} == {row["device"] for row in read}
    longest = max(row["value"] for row in read if row["resource"] == "energy_cpu")
    assert 20 * 0.02 - 0.13 <= longest < 90 * 5  # of `wait`, which takes 0.02 s and more


def test_auto_takes_rapl_where_there_are_counters_and_says_why_not_pyrapl(tree: FakeTree) -> None:
    with tree.live():
        done = run("--model", "done")

    assert "meters left out: nvml, pyrapl, cpu-estimate, carbon" in done.stderr
    assert "is estimated" not in done.stderr
    assert "PePR-E" in done.stdout


def test_rapl_without_counters_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_POWERCAP_ROOT", str(tmp_path / "none"))

    refused = run("--model", "done", "--meter", "rapl")
    assert 2 == refused.returncode
    assert "meter 'rapl' does not work here: no RAPL counters" in refused.stderr


def test_list_shows_the_meters_with_what_this_machine_has(tree: FakeTree) -> None:
    command = [sys.executable, "-m", "harness", "list", "meters", "--format", "json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)

    rows = {row["name"]: row for row in json.loads(told.stdout)["rows"]}
    assert [(["energy_cpu", "energy_dram"], True)] * 2 == [
        (rows[name]["resources"], rows[name]["available"]) for name in ("rapl", "pyrapl")
    ]
