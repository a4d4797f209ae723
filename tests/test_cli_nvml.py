"""`harness run` with the NVML meter on the fake library, from the command line to the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nvml as fake
import pytest

from harness.store.reading import open_reader

CHAOS = ("--plugin", "chaos", "--executor", "bare", "--dataset", "nothing", "--device", "cpu")


def harness(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(__file__).parent), environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        env={**environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return fake.environment(tmp_path, fake.card(name="Fake_H100"), fake.card(fake.SECOND, phase_ms=300))


def test_real_model_is_trained_metered_and_ranked_by_energy_and_memory(environ: dict[str, str]) -> None:
    words = ["run", "--dataset", "digits", "--scratch", "--epochs", "2", "--train-fraction", "0.1", "--device", "cpu"]
    models = ["--model", "timm:test_resnet", "--model", "timm:test_vit"]
    done = harness(environ, *words, *models, "--meter", "nvml", "--meter", "memory")

    assert 0 == done.returncode, done.stderr
    assert "PePR-E" in done.stdout
    assert "PePR-M" in done.stdout
    with open_reader(Path("harness.sqlite")) as reader:
        for trial in reader.trials():
            assert "Fake H100" == trial["facts"]["meters"]["nvml"]["cards"][0]["name"]
            assert trial["facts"]["overhead"]["train"]["nvml"]["seconds"] > 0
        readings = [row for row in reader.readings() if row["resource"] == "energy_gpu" and row["epoch"] is None]
    assert {"train", "infer_batch", "infer_single"} == {row["phase"] for row in readings}
    for row in readings:
        if row["device"] == fake.FIRST:
            true = fake.true_joules(row["start_ns"] / 1e9, row["stop_ns"] / 1e9)
            assert abs(row["value"] - true) <= row["uncertainty"]
            assert "counter" == row["source"]


def test_baseline_gives_net_energy_beside_the_gross_one(environ: dict[str, str]) -> None:
    done = harness(environ, "run", *CHAOS, "--model", "wait", "--meter", "nvml", "--baseline", "0.5s")
    assert 0 == done.returncode, done.stderr

    with open_reader(Path("harness.sqlite")) as reader:
        whole = {(r["phase"], r["resource"], r["device"]): r for r in reader.readings() if r["epoch"] is None}
        gaps = {(r["phase"], r["resource"]) for r in reader.missing()}
    assert ("baseline", "energy_gpu", None) in whole
    assert ("train", "energy_gpu_net", None) in whole or ("train", "energy_gpu_net") in gaps


def test_card_that_is_lost_leaves_the_trial_done_and_the_other_card_read(tmp_path: Path) -> None:
    environ = fake.environment(tmp_path, fake.card(lost_ns=1), fake.card(fake.SECOND))
    done = harness(environ, "run", *CHAOS, "--model", "done", "--meter", "nvml", "--meter", "time")

    assert 0 == done.returncode, done.stderr
    with open_reader(Path("harness.sqlite")) as reader:
        whole = [(row["resource"], row["device"]) for row in reader.readings() if row["epoch"] is None]
        assert [("energy_gpu", fake.SECOND), ("time", None)] == whole
        assert "GPU is lost" in reader.missing()[0]["reason"]


def test_card_that_is_lost_and_the_only_one_is_refused(tmp_path: Path) -> None:
    refused = harness(
        fake.environment(tmp_path, fake.card(lost_ns=1)), "run", *CHAOS, "--model", "done", "--meter", "nvml"
    )

    assert 2 == refused.returncode
    assert "card 0 does not answer: GPU is lost" in refused.stderr


def test_meter_without_a_driver_is_refused_with_the_way_out() -> None:
    refused = harness(os.environ, "run", *CHAOS, "--model", "done", "--meter", "nvml")

    assert 2 == refused.returncode
    assert "meter 'nvml' does not work here: no NVIDIA driver answers" in refused.stderr


def test_sampling_period_reaches_the_meter(tmp_path: Path) -> None:
    environ = fake.environment(tmp_path, fake.card(counter=0))
    options = ("--meter", "nvml", "--sample-period", "5ms")
    done = harness(environ, "run", *CHAOS, "--model", "wait", *options, "--format", "json")

    assert 0 == done.returncode, done.stderr
    assert "harness.score/1" == json.loads(done.stdout)["schema"]
    with open_reader(Path("harness.sqlite")) as reader:
        assert {"sampled"} == {row["source"] for row in reader.readings()}
