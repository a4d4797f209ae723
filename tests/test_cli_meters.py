"""Meters of devices from the command line to the table, against fakes in place of the devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nvml
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


def test_run_with_rapl_and_a_location_ends_in_grams_and_their_pepr(tree: FakeTree) -> None:
    with tree.live():
        done = run("--model", "done", "--model", "wait", "--meter", "rapl", "--meter", "carbon", "--location", "FR")

    assert 0 == done.returncode, done.stderr
    assert "PePR-E" in done.stdout
    assert "PePR-C" in done.stdout
    assert "carbon [g]" in done.stdout


def test_two_meters_of_one_resource_are_both_stored_and_the_first_counts(tree: FakeTree) -> None:
    with tree.live():
        done = run("--model", "wait", "--meter", "rapl", "--meter", "pyrapl", "--format", "json")

    assert 0 == done.returncode, done.stderr
    with open_reader(Path("harness.sqlite")) as reader:
        train = [row for row in reader.readings() if row["phase"] == "train" and row["epoch"] is None]
    totals = {row["meter"]: row["value"] for row in train if row["resource"] == "energy_cpu" and row["device"] is None}
    assert {"rapl", "pyrapl"} == totals.keys()
    dram = next(row["value"] for row in train if row["resource"] == "energy_dram" and row["meter"] == "rapl")
    energy = json.loads(done.stdout)["rows"][0]["resources"]["energy"]["value"]
    assert energy == pytest.approx(totals["rapl"] + dram)


def test_card_lost_half_way_costs_a_command_no_other_reading(tree: FakeTree, tmp_path: Path) -> None:
    lost = nvml.card(lost_ns=time.monotonic_ns() + 1_500_000_000)
    words = ("--meter", "nvml", "--meter", "rapl", "--meter", "time", "--output", "cost.json")
    with tree.live():
        done = subprocess.run(
            [sys.executable, "-m", "harness", "measure", *words, "--", "sleep", "2"],
            env=nvml.environment(tmp_path, lost),
            timeout=120,
            check=False,
        )

    document = json.loads(Path("cost.json").read_text())
    assert 0 == done.returncode == document["exit_code"]
    assert {"energy_cpu", "energy_dram", "time"} == {reading["resource"] for reading in document["readings"]}
    gaps = {gap["resource"]: gap["reason"] for gap in document["missing"]}
    assert {"energy_gpu", "energy"} == gaps.keys()
    assert "GPU is lost" in gaps["energy_gpu"]


def test_all_meters_of_a_command_are_within_their_bars(tree: FakeTree, tmp_path: Path) -> None:
    words = ("--meter", "nvml", "--meter", "rapl", "--output", "cost.json")
    with tree.live():
        subprocess.run(
            [sys.executable, "-m", "harness", "measure", *words, "--", "sleep", "0.4"],
            env=nvml.environment(tmp_path, nvml.card(step_ms=100)),
            timeout=120,
            check=True,
        )

    document = json.loads(Path("cost.json").read_text())
    start, stop = (document["window"][f"{edge}_monotonic_ns"] / 1e9 for edge in ("start", "stop"))
    totals = {reading["resource"]: reading for reading in document["readings"] if reading["device"] is None}
    gpu = totals["energy_gpu"]
    assert abs(gpu["value"] - nvml.true_joules(start, stop)) <= gpu["uncertainty"]
    assert totals["energy"]["value"] == pytest.approx(
        sum(totals[name]["value"] for name in ("energy_gpu", "energy_cpu", "energy_dram"))
    )
