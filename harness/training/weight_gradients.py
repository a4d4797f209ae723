"""Weight gradients of convolutions of small images on CPUs under bf16: as one product of matrices.

oneDNN's kernel for them is slow where weights outweigh the images, and its result is laid out anew twice: for
512 x 512 x 3 x 3 weights and 32 images of 2 x 2, 4.9 ms against 1.4 ms (one thread, AMD Zen 5, torch 2.14). The sums
are the same, in another order, and rounded to bf16 once, as before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Pixels of an output: at 4 x 4 the product is 1.3 to 3 times as fast, at 8 x 8 no faster, and patches take memory.
_MOST_PIXELS = 16
# Of a convolution. With fewer, the detour through Python takes what the product saves.
_LEAST_WEIGHTS = 2**16


def multiply_weight_gradients(model: nn.Module) -> None:
    """Have the plain convolutions of *model*, with bf16 as autocast's type, use the product where images are small."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.forward = _in_training(module, module.forward)  # type: ignore[method-assign, assignment]


def _is_plain(module: nn.Conv2d) -> bool:
    return (
        module.groups == 1
        and module.weight.numel() >= _LEAST_WEIGHTS
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


def _in_training(module: nn.Conv2d, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def convolved(input: Tensor) -> Tensor:  # as nn.Conv2d names it: models may too
        if not _is_in_reduced_training() or input.dim() != 4 or _pixels(module, input) > _MOST_PIXELS:
            return forward(input)
        result: Tensor = _Convolution.apply(input.bfloat16(), module.weight, module.bias, module.stride, module.padding)
        return result

    return convolved


def _is_in_reduced_training() -> bool:
    """Say whether gradients are wanted and autocast is on: a model may turn it off for what it computes in fp32."""
    return torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")


def _pixels(module: nn.Conv2d, images: Tensor) -> int:
    """Return how many pixels an output has."""
    padding = cast("tuple[int, int]", module.padding)
    sizes = zip(images.shape[2:], padding, module.kernel_size, module.stride, strict=True)
    return math.prod((size + 2 * pad - kernel) // stride + 1 for size, pad, kernel, stride in sizes)


class _Convolution(torch.autograd.Function):
    """A convolution in bf16 of `bfloat16 [N, I, H, W]` with fp32 weights `[O, I, h, w]`, which get fp32 gradients."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        reduced = weight.bfloat16()
        ctx.save_for_backward(images, reduced)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(images, reduced, None if bias is None else bias.bfloat16(), stride, padding)

    @staticmethod
    @once_differentiable  # second gradients would lack their part of the weights
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        for_images, for_weight, for_bias, *_ = ctx.needs_input_grad
        values = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))
        return (
            _image_gradient(gradient, images, weight, ctx) if for_images else None,
            _weight_gradient(values, images, weight.shape, ctx) if for_weight else None,
            values.sum(0, dtype=torch.float32) if for_bias else None,
            *(None, None),
        )


def _image_gradient(gradient: Tensor, images: Tensor, weight: Tensor, ctx: Any) -> Tensor:
    geometry = (ctx.stride, ctx.padding, (1, 1), False, (0, 0), 1)
    # Without the gradient of the bias, with which oneDNN would compute that of the weights.
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, *geometry, (True, False, False)
    )[0]
    return found


def _weight_gradient(values: Tensor, images: Tensor, shape: torch.Size, ctx: Any) -> Tensor:
    """Return the sum over all pixels of the *values* `[N H W, O]` of the output's gradient times their patches."""
    outputs, inputs, rows, columns = shape
    (down, right), (top, left) = ctx.stride, ctx.padding
    padded = functional.pad(images, (left, left, top, top))
    patches = padded.unfold(2, rows, down).unfold(3, columns, right).permute(0, 2, 3, 4, 5, 1)
    product = values.t() @ patches.reshape(len(values), -1)
    return product.float().view(outputs, rows, columns, inputs).permute(0, 3, 1, 2)
