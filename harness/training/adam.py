"""Adam (Kingma and Ba, ICLR 2015) as PyTorch fuses it, without what its CPU kernel wastes on channels-last weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from harness.records import Setting


class RowsAdam(torch.optim.Adam):
    """Fused Adam that sees channels-last weights as the plain rows of numbers that they are in memory.

    PyTorch's kernel for CPUs copies the gradient of each weight that is not contiguous, which is a tenth of a step of
    resnet18d. A view `[O, H, W, I]` of a channels-last weight `[O, I, H, W]` is contiguous, and Adam goes number by
    number, so the result is the same.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        pairs = [(parameter, _view(parameter)) for parameter in parameters]
        self._viewed = [(parameter, view) for parameter, view in pairs if view is not parameter]
        super().__init__([view for _, view in pairs], lr=lr, fused=True)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with the gradients of the parameters."""
        for parameter, view in self._viewed:
            view.grad = None if parameter.grad is None else _rows(parameter.grad).contiguous()
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Let go of the gradients, those of the parameters included."""
        for parameter, _ in self._viewed:
            parameter.grad = None
        super().zero_grad(set_to_none)


def make_adam(parameters: Iterable[nn.Parameter], setting: Setting) -> torch.optim.Adam:
    """Return the fused Adam that is fastest in *setting*, with PyTorch's betas and epsilon and no weight decay."""
    # A scaler of gradients looks at those of the optimiser before the step, where views have none yet.
    if setting.device == "cpu" and setting.precision != "fp16":
        return RowsAdam(parameters, setting.lr)
    return torch.optim.Adam(parameters, lr=setting.lr, fused=True)


def _view(parameter: nn.Parameter) -> nn.Parameter:
    if parameter.is_contiguous() or not parameter.is_contiguous(memory_format=torch.channels_last):
        return parameter
    return nn.Parameter(_rows(parameter.detach()), requires_grad=parameter.requires_grad)


def _rows(weight: Tensor) -> Tensor:
    return weight.permute(0, 2, 3, 1)
