"""What training computes, against a plain loop without anything that makes ours fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.plugins.digits import load
from harness.plugins.timm_models import TimmModel
from harness.records import Setting, Trial
from harness.specs import DatasetSpec, ModelSpec, Split, Splits
from harness.training.adam import RowsAdam
from harness.training.loop import Training

DIGITS = DatasetSpec("digits", load, num_classes=10, in_chans=3, default_image_size=32)


@pytest.fixture(scope="module")
def few() -> Splits:
    splits = load(32, None, download=False)
    return Splits(Split(splits.train.images[:64], splits.train.labels[:64]), splits.validation, splits.test)


def trained(few: Splits, name: str, **setting: Any) -> tuple[Training, float]:
    """Return our loop after an epoch, and the loss."""
    trial = Trial(name, "digits", Setting(**{"weights": "scratch", "image_size": 32, "batch_size": 16} | setting))
    training = Training(trial, ModelSpec(name, TimmModel(name)), DIGITS, few, None)
    training.load()
    return training, training.epoch()[0]


def plainly_trained(few: Splits, name: str) -> tuple[nn.Module, float]:
    """Return the model after an epoch with contiguous weights and PyTorch's default Adam, and the loss."""
    torch.manual_seed(1)
    model = TimmModel(name)(10, 3, 32, None).train()
    adam = torch.optim.Adam(model.parameters(), lr=5e-4)
    losses = []
    for chosen in torch.randperm(64, generator=torch.Generator().manual_seed(1)).numpy().reshape(4, 16):
        images = torch.from_numpy(few.train.images[chosen]).float() / 255
        loss = functional.cross_entropy(model(images), torch.from_numpy(few.train.labels[chosen]))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return model, float(np.mean(losses))


def away(ours: nn.Module, plain: nn.Module) -> float:
    """Return how far the weights lie apart, as a share of a step of Adam (about the learning rate) in the mean."""
    pairs = zip(ours.parameters(), plain.parameters(), strict=True)
    apart = torch.cat([(one - other).detach().abs().flatten() for one, other in pairs])
    return apart.mean().item() / 5e-4


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_fp32_is_the_plain_loop_but_for_rounding(few: Splits, name: str) -> None:
    training, loss = trained(few, name)
    plain, expected = plainly_trained(few, name)

    assert pytest.approx(expected, rel=1e-3) == loss
    # Adam's first steps are about as large for a gradient of 1e-9 as of 1: where rounding turns a sign, weights part.
    assert away(training.model, plain) < 0.05


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_is_close_to_the_plain_loop_and_not_the_same(few: Splits, precision: str) -> None:
    training, loss = trained(few, "test_resnet", precision=precision)
    _, expected = plainly_trained(few, "test_resnet")

    assert pytest.approx(expected, rel=0.02) == loss
    assert expected != loss
    assert {torch.float32} == {parameter.dtype for parameter in training.model.parameters()}


def test_adam_over_rows_is_adam() -> None:
    torch.manual_seed(0)
    starts = [torch.randn(8, 4, 3, 3), torch.randn(8, 4, 1, 1), torch.randn(8, 1, 3, 3), torch.randn(5)]
    plain = [nn.Parameter(start.clone()) for start in starts]
    ours = [nn.Parameter(_channels_last(start.clone())) for start in starts]
    adams = torch.optim.Adam(plain, lr=0.01), RowsAdam(ours, lr=0.01)
    for _ in range(5):
        for expected, actual in zip(plain, ours, strict=True):
            expected.grad = torch.randn(expected.shape)
            actual.grad = _channels_last(expected.grad.clone())
        for adam in adams:
            adam.step()

    for expected, actual in zip(plain, ours, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6, check_stride=False)


def test_adam_over_rows_takes_gradients_of_any_layout_and_lets_go_of_all() -> None:
    one, other = (nn.Parameter(_channels_last(torch.ones(8, 4, 3, 3))) for _ in range(2))
    gradient = torch.randn(8, 4, 3, 3)
    one.grad, other.grad = gradient.clone(), _channels_last(gradient)
    adam = RowsAdam([one, other], lr=0.01)
    adam.step()
    adam.zero_grad()

    assert torch.equal(one, other)
    assert (None, None) == (one.grad, other.grad)
    assert all(parameter.grad is None for parameter in adam.param_groups[0]["params"])


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
