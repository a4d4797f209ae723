"""What makes training faster works on the device, or is refused in the plan."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.plugins_loader import PluginChoice
from harness.records import Setting, Trial
from harness.workers import preflight
from harness.workers.acceleration import check_acceleration
from harness.workers.executor import Job


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cpu_trains_in_fp32_and_bf16(precision: str) -> None:
    check_acceleration(Setting(precision=precision, device="cpu"))


def test_fp16_is_refused_on_the_cpu_and_taken_on_cuda() -> None:
    check_acceleration(Setting(precision="fp16", device="cuda"))

    with pytest.raises(HarnessError, match="--precision fp16 is for CUDA; on the CPU use --precision bf16 or fp32"):
        check_acceleration(Setting(precision="fp16", device="cpu"))


def test_plan_tells_once_what_no_trial_can_have() -> None:
    setting = Setting(weights="scratch", image_size=32, precision="fp16")
    jobs = [Job(Trial(name, "digits", setting), ("time",), PluginChoice(autoload=False)) for name in ("a", "b")]

    assert ["--precision fp16 is for CUDA; on the CPU use --precision bf16 or fp32"] == list(preflight.problems(jobs))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_compilation_without_a_compiler_is_one_clear_line(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "clang++")

    with pytest.raises(HarnessError, match="--compile needs a C\\+\\+ compiler, and 'clang\\+\\+' is not there"):
        check_acceleration(Setting(compile=True, device=device))


def test_compilation_on_cuda_without_triton_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(HarnessError, match="--compile on CUDA needs triton"):
        check_acceleration(Setting(compile=True, device="cuda"))


def test_compilation_with_a_compiler_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "g++"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)

    check_acceleration(Setting(compile=True, device="cpu"))
