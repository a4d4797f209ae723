"""Imports go down: between running and judging stands only the store, and measuring knows neither."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parent.parent / "harness"
JUDGING_WINGS = ("auditing", "comparing", "scoring", "sources")
JUDGING = ("harness.auditing", "harness.comparing", "harness.scoring", "harness.sources", "harness.pepr")
WINGS = (*JUDGING_WINGS, "cli", "measuring", "workers", "store", "suites", "testing", "training", "weights")
RUNNING = ("harness.workers", "harness.runner", "harness.training", "harness.study")
BELOW = tuple(CORE / name for name in ("meter.py", "records.py", "errors.py"))


def imports(file: Path) -> set[str]:
    """Return the modules that *file* imports when it is imported itself; what functions import later is left out."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    named = {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}
    return named | {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}


def files_of(*wings: str) -> list[Path]:
    return [file for wing in wings for file in sorted((CORE / wing).glob("*.py"))]


@pytest.mark.parametrize("file", files_of("workers", "store"), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_running_and_the_store_know_nothing_of_judging(file: Path) -> None:
    assert [] == [name for name in imports(file) if name.startswith(JUDGING)]


@pytest.mark.parametrize("file", files_of(*JUDGING_WINGS), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_judging_knows_nothing_of_running(file: Path) -> None:
    assert [] == [name for name in imports(file) if name.startswith(RUNNING)]


@pytest.mark.parametrize("file", [*files_of("measuring"), *BELOW], ids=lambda file: file.name)
def test_measuring_knows_neither(file: Path) -> None:
    assert [] == [module for module in imports(file) if module.startswith((*JUDGING, *RUNNING, "harness.store"))]


@pytest.mark.parametrize("file", sorted(CORE.glob("*.py")) + files_of(*WINGS))
def test_core_imports_no_built_in_meter_or_plugin(file: Path) -> None:
    assert [] == [name for name in imports(file) if name.startswith(("harness.meters", "harness.plugins."))]
