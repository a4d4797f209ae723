"""CodeCarbon and Zeus as meters: the real packages on the fake library, held against what is true."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nvml
import pytest

from harness.measuring.stack import MeterStack
from harness.measuring.window import Window
from harness.meter import StackedMeter
from harness.meters.codecarbon import CodeCarbonMeter
from harness.meters.zeus import ZeusMeter
from harness.plugins_loader import PluginChoice, load_plugins
from harness.testing import MeterContract


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One card with a counter, and the program without which CodeCarbon takes it for absent."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)  # where CodeCarbon looks for its settings
    with nvml.loaded(tmp_path, nvml.card(step_ms=20)):
        yield


def seconds(meter: object, resources: tuple[str, ...], length: float = 1.0) -> Window:
    with MeterStack() as stack:
        stack.add([StackedMeter("peer", meter, resources)])  # type: ignore[arg-type]
        with stack.window() as window:
            time.sleep(length)
    return window


@pytest.mark.usefixtures("cards")
class TestZeus(MeterContract):
    factory = staticmethod(ZeusMeter)
    resources = ("energy_gpu",)


@pytest.mark.usefixtures("cards")
class TestCodeCarbon(MeterContract):
    factory = staticmethod(CodeCarbonMeter)
    resources = ("energy_cpu", "energy_gpu")


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize("meter", [ZeusMeter, CodeCarbonMeter])
def test_energy_of_the_card_is_true_within_the_bar(meter: type) -> None:
    window = seconds(meter({}), ("energy_cpu", "energy_gpu"))
    start, stop = window.edges_ns

    reading = window["energy_gpu"]
    assert abs(reading.value - nvml.true_joules(start / 1e9, stop / 1e9)) <= reading.uncertainty
    assert reading.uncertainty < reading.value


@pytest.mark.usefixtures("cards")
def test_processor_is_estimated_as_codecarbon_does_not_say_how_it_knows() -> None:
    assert "estimated" == seconds(CodeCarbonMeter({}), ("energy_cpu", "energy_gpu"))["energy_cpu"].source


def test_window_too_short_for_its_counter_is_missing_and_not_zero(tmp_path: Path) -> None:
    with nvml.loaded(tmp_path, nvml.card(step_ms=1_000_000)):
        window = seconds(ZeusMeter({}), ("energy_gpu",), length=0)

    assert ["the counter did not move: the window is too short for zeus"] == [gap.reason for gap in window.missing]


def test_card_without_a_counter_is_refused_as_zeus_would_begin_processes(tmp_path: Path) -> None:
    file = tmp_path / "readings.json"
    subprocess.run(
        [sys.executable, "-m", "harness", "measure", "--meter", "zeus", "--output", str(file), "--", "true"],
        env=nvml.environment(tmp_path, nvml.card(counter=0, arch=4, instant=0)),
        check=True,
    )

    gap = json.loads(file.read_text())["missing"][0]
    assert "a card has no energy counter" in gap["reason"]


@pytest.mark.usefixtures("cards")
def test_they_are_used_only_where_they_are_named() -> None:
    registry = load_plugins(PluginChoice(autoload=False)).registry
    chosen, left_out = registry.automatic_meters()

    assert registry.meter_unavailable("zeus") is None
    assert not {"zeus", "codecarbon"} & {*chosen, *left_out}
    assert ("energy_cpu", "energy_gpu") == registry.meters.get("codecarbon").resources
