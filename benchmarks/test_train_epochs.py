"""An epoch of resnet18d with our loop against one of a plain loop; `training.py` times more models, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import training

MODEL = "resnet18d"


@pytest.fixture(scope="module")
def loops(quick: bool) -> Mapping[str, Callable[[], float]]:
    """An epoch of each loop, from the same weights over the same digits of 64 x 64 pixels."""
    model = "timm:test_resnet" if quick else MODEL
    return training.loops_of(model, training.digits(steps=1 if quick else 4, test=32 if quick else 64))


@pytest.mark.benchmark(group="train an epoch")
@pytest.mark.parametrize("loop", ["plain", "fp32", "bf16"])
def test_epoch(benchmark: Any, loops: Mapping[str, Callable[[], float]], loop: str) -> None:
    if loop not in loops:
        pytest.skip("this CPU does not compute in bf16")
    benchmark.pedantic(loops[loop], rounds=3, warmup_rounds=1)
