"""Every one of the paper's 131 models trains: forward, backward and a step of the optimiser, for real."""

from __future__ import annotations

import pepr131
import pytest
import torch
from torch.nn import functional


def train_a_step(name: str, channels: int) -> tuple[torch.Tensor, list[str]]:
    """Train on two images of the smallest size from 28 pixels on; return the loss and what was not trained."""
    torch.manual_seed(0)
    sizes = pepr131.MODELS[name].image_sizes
    assert sizes is not None
    size = min(other for other in range(pepr131.LEAST, 257) if sizes.take(other))
    model = pepr131.built(name, size, channels=channels)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4, fused=True)
    loss = functional.cross_entropy(model(torch.rand(2, channels, size, size)), torch.tensor([1, 4]))
    loss.backward()
    *_, last = model.parameters()
    before = last.detach().clone()
    optimizer.step()
    assert not torch.equal(before, last)
    return loss.detach(), [key for key, value in model.named_parameters() if _is_broken(value)]


def _is_broken(value: torch.Tensor) -> bool:
    return value.grad is None or not bool(value.isfinite().all())


@pytest.mark.parametrize("name", pepr131.NAMES)
def test_it_trains_on_colour_at_the_smallest_size_that_it_takes(name: str) -> None:
    loss, broken = train_a_step(name, channels=3)

    assert loss.isfinite()
    assert [] == broken


@pytest.mark.parametrize("name", pepr131.lightest_of_each_family())
def test_one_of_each_family_trains_on_grey(name: str) -> None:
    loss, broken = train_a_step(name, channels=1)

    assert loss.isfinite()
    assert [] == broken
