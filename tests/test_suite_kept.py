"""What is kept of a pytest run beside its results."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from harness import environment
from harness.suites.kept import describe_run
from harness.suites.settings import SuiteSettings


def test_run_without_pytest_benchmark_has_no_version_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "pytest-benchmark":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(environment, "version", version)
    monkeypatch.setattr(importlib.metadata, "version", version)

    packages = describe_run(SuiteSettings(), ["time"], tmp_path).packages
    assert "pytest" in packages
    assert "pytest-benchmark" not in packages
