"""The benchmark of meters runs, and what it prints of ours is sane. How fast or how exact is not asked here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
OURS = {
    "harness",
    "harness, power is a 1 s average",
    "harness, lengths ± 50 ms",
    "harness, lengths ± 50 ms, 1 s average",
    "harness, block holds the lock",
    "harness, a thread holds the lock",
}


@pytest.fixture(scope="module")
def printed() -> str:
    """What a quick run with our sharp meter prints."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    command = [sys.executable, str(ROOT / "benchmarks" / "meters.py"), "--quick", "--tool", "harness"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=120
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def rows(printed: str, heading: str) -> dict[str, list[str]]:
    """Return the cells of the table whose first heading is *heading*, by their row's first cell."""
    lines = iter(printed.splitlines())
    next(line for line in lines if line.startswith(f"| {heading}"))
    next(lines)
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        label, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        found[label] = cells
    return found


def test_each_row_of_ours_has_errors_at_both_steps(printed: str) -> None:
    table = rows(printed, "error of the GPU energy")

    assert OURS <= table.keys()
    for cells in (table[label] for label in OURS):
        assert all(" / " in cell for cell in (cells[0], cells[3]))


def test_truth_lies_inside_most_bars_of_ours(printed: str) -> None:
    table = rows(printed, "error bar")

    assert OURS <= table.keys()
    for cells in (table[label] for label in OURS):
        inside, _, count = cells[0].partition(" of ")
        assert int(inside) >= int(count) - 1 >= 7


def test_costs_of_ours_are_told(printed: str) -> None:
    assert ["harness"] == list(rows(printed, "cost"))
    assert "Both marks of time, memory, nvml" in printed
