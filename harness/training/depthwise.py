"""Depthwise convolutions on CPUs under bf16: left in fp32, in which PyTorch computes their gradients faster."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def keep_depthwise_in_fp32(model: nn.Module) -> int:
    """Have the depthwise convolutions of *model* compute in fp32 whatever autocast says; return how many there are.

    They multiply little and copy much, so that bf16 gains nothing: a step of mobilenetv2_050 took longer than in fp32.
    """
    found = [module for module in model.modules() if isinstance(module, nn.Conv2d) and _is_depthwise(module)]
    for module in found:
        module.forward = _in_fp32(module.forward)  # type: ignore[method-assign, assignment]
    return len(found)


def _is_depthwise(module: nn.Conv2d) -> bool:
    return 1 < module.groups == module.in_channels


def _in_fp32(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def exact(input: Tensor) -> Tensor:  # as nn.Conv2d names it: models may too
        with torch.autocast("cpu", enabled=False):
            return forward(input.float())

    return exact
