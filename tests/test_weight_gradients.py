"""Under bf16 on a CPU, weight gradients of convolutions of small images are one product, and the same gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from harness.training.weight_gradients import multiply_weight_gradients

GEOMETRIES = {
    "padded": nn.Conv2d(96, 96, 3, padding=1, bias=False),
    "strided": nn.Conv2d(96, 96, 3, stride=2, padding=1),
    "pointwise": nn.Conv2d(256, 256, 1),
    "lying": nn.Conv2d(128, 96, (2, 3), stride=(1, 2), padding=(0, 1)),
}


def gradients(module: nn.Conv2d, images: Tensor) -> dict[str, Tensor]:
    """Return the gradients of the images and of the parameters, of a loss that weighs each output otherwise."""
    images = images.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = module(images).float()
    (outputs * torch.linspace(-1, 1, outputs.numel()).view(outputs.shape)).sum().backward()
    found = {"images": images.grad, **{name: value.grad for name, value in module.named_parameters()}}
    return {name: value for name, value in found.items() if value is not None}


def uses_product(module: nn.Conv2d, pixels: int) -> bool:
    images = torch.rand(2, module.in_channels, pixels, pixels)
    with torch.autocast("cpu", torch.bfloat16):
        return "_Convolution" in module(images).grad_fn.name()


def multiplying(module: nn.Conv2d) -> nn.Conv2d:
    multiply_weight_gradients(module)
    return module


@pytest.mark.parametrize("name", GEOMETRIES)
def test_gradients_are_those_of_pytorch_but_for_rounding(name: str) -> None:
    plain = GEOMETRIES[name].to(memory_format=torch.channels_last)
    module = copy.deepcopy(plain)
    multiply_weight_gradients(module)
    assert uses_product(module, 4)
    images = torch.rand(4, plain.in_channels, 4, 4)

    expected, found = gradients(plain, images), gradients(module, images)
    assert expected.keys() == found.keys()
    for part, value in expected.items():
        assert value.dtype == found[part].dtype == torch.float32
        assert (value - found[part]).abs().max() <= 0.01 * value.abs().max()


def test_frozen_weights_get_no_gradient() -> None:
    module = nn.Conv2d(256, 256, 1)
    multiply_weight_gradients(module)
    module.weight.requires_grad_(False)

    assert {"images", "bias"} == gradients(module, torch.rand(2, 256, 4, 4)).keys()


def test_large_images_and_inference_are_left_to_pytorch() -> None:
    module = nn.Conv2d(256, 256, 1)
    multiply_weight_gradients(module)
    with torch.no_grad():
        assert module(torch.rand(2, 256, 4, 4)).dtype == torch.float32

    assert [True, False] == [uses_product(module, pixels) for pixels in (4, 5)]


def test_what_a_model_computes_without_autocast_stays_in_fp32() -> None:
    plain = nn.Conv2d(256, 256, 1)
    module = multiplying(copy.deepcopy(plain))
    images = torch.rand(2, 256, 4, 4)

    assert torch.equal(plain(images), module(images))
    with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
        assert torch.equal(plain(images), module(images))


def test_images_may_be_named_or_come_without_a_batch() -> None:
    module = multiplying(nn.Conv2d(256, 256, 1))
    with torch.autocast("cpu", torch.bfloat16):
        assert (2, 256, 4, 4) == tuple(module(input=torch.rand(2, 256, 4, 4)).shape)
        assert (256, 4, 4) == tuple(module(torch.rand(256, 4, 4)).shape)


def test_second_gradients_are_refused_rather_than_wrong() -> None:
    module = multiplying(nn.Conv2d(256, 256, 1))
    images = torch.rand(2, 256, 2, 2, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = module(images).float()
    (first,) = torch.autograd.grad(outputs.square().sum(), images, create_graph=True)

    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(256, 256, 1, groups=2),
        nn.Conv2d(128, 128, 3, dilation=2),
        nn.Conv2d(128, 128, 3, padding="same"),
        nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(8, 8, 1),
    ],
)
def test_other_convolutions_are_left_to_pytorch(module: nn.Conv2d) -> None:
    multiply_weight_gradients(nn.Sequential(module))

    assert "forward" not in vars(module)
