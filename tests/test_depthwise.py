"""Under bf16 on a CPU, depthwise convolutions compute in fp32 and others do not."""

from __future__ import annotations

import torch
from torch import nn

from harness.training.depthwise import keep_depthwise_in_fp32


def test_only_depthwise_convolutions_stay_in_fp32() -> None:
    pointwise, depthwise = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 3, groups=4)

    assert 1 == keep_depthwise_in_fp32(nn.Sequential(pointwise, depthwise, nn.Conv2d(1, 1, 1)))
    with torch.autocast("cpu", torch.bfloat16):
        found = pointwise(torch.ones(1, 4, 8, 8))
        assert (torch.bfloat16, torch.float32) == (found.dtype, depthwise(input=found).dtype)


def test_gradients_are_those_of_fp32() -> None:
    torch.manual_seed(1)
    plain = nn.Conv2d(4, 4, 3, groups=4)
    kept = nn.Conv2d(4, 4, 3, groups=4)
    kept.load_state_dict(plain.state_dict())
    keep_depthwise_in_fp32(kept)
    images = torch.rand(2, 4, 8, 8)
    plain(images).sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        kept(images).sum().backward()

    assert torch.equal(plain.weight.grad, kept.weight.grad)
