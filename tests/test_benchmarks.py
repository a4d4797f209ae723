"""The benchmarks run, and what they print of ours is sane. How fast or how exact is not asked here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.store.benchmarks import read_benchmarks
from harness.store.reading import open_reader

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


def quick(name: str, *arguments: str) -> str:
    """Return what a quick run of the benchmark *name* prints."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    command = [sys.executable, str(ROOT / "benchmarks" / name), "--quick", *arguments]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=120
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def printed() -> str:
    """What the benchmark of meters prints of our sharp meter."""
    return quick("meters.py", "--tool", "harness")


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


def test_training_is_timed_beside_a_plain_loop_and_its_overhead_told() -> None:
    printed = quick("training.py", "--model", "timm:test_resnet", "--threads", "1")
    (cells,) = (cells for label, cells in rows(printed, "model").items() if label == "timm:test_resnet")

    assert all(float(cell) > 0 for cell in cells[:3])
    assert "Overhead of an epoch of 2 steps" in printed
    assert ("bf16, s" in printed) != ("bf16 is left out" in printed)


def test_suite_runs_and_is_kept(tmp_path: Path) -> None:
    rounds = (
        "--benchmark-max-time=0.01",
        "--benchmark-min-rounds=1",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
    )
    kept = ("--harness-meter", "time", "--harness-compare", "--harness-store", str(tmp_path / "b.sqlite"))
    # What imports torch takes long, and is run above.
    command = [sys.executable, "-m", "pytest", "benchmarks", "--quick", *rounds, *kept, "-k", "not epoch and not torch"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)

    assert 0 == done.returncode, done.stdout
    with open_reader(tmp_path / "b.sqlite") as reader:
        tests = [one.benchmark.test for one in read_benchmarks(reader)]
    files = {path.name for path in (ROOT / "benchmarks").glob("test_*.py")} - {"test_train_epochs.py"}
    assert files == {Path(test.partition("::")[0]).name for test in tests}
