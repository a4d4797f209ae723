"""The benchmark of training tells how far accuracies of two loops lie apart, and how sure that is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def accuracies(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("accuracies")


def test_difference_is_between_same_seeds_with_an_interval_by_students_t(accuracies: ModuleType) -> None:
    found = accuracies.difference(plain=[10, 50, 90], own=[11, 52, 93])

    # Apart by 1, 2 and 3: deviation 1, over the root of 3, times the 97.5 % point of t with 2 degrees of freedom.
    assert (2, pytest.approx(4.302653 / 3**0.5)) == found


def test_table_has_the_accuracy_after_the_last_epoch_of_each_seed(accuracies: ModuleType) -> None:
    def loops_of(name: str, seed: int) -> dict[str, Callable[[], float]]:
        plain, own = iter([0.1, 0.2 * seed]), iter([0.1, 0.3 * seed])
        return {"plain": lambda: next(plain), "fp32": lambda: next(own)}

    lines = list(accuracies.table(["a"], loops_of, 2, (1, 2)))

    assert "| model | plain | fp32 | difference |" == lines[0]
    assert "| a | 30.0 (14.1) | 45.0 (21.2) | +15.0 ± 63.5 |" == lines[2]
