"""Built-in models keep the contract, and the contract catches models that do not."""

from __future__ import annotations

import inspect
import socket
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from torch import nn

from harness.plugins_loader import load_plugins
from harness.specs import ModelSpec
from harness.testing import ModelContract, fake_model

MODELS = load_plugins().registry


class TestResNet(ModelContract):
    spec = MODELS.model("resnet18d")


class TestMobileNet(ModelContract):
    spec = MODELS.model("mobilenetv2_050")


class TestModelOfOneImageSize(ModelContract):
    """A transformer, whose patches make it take multiples of 16 pixels only."""

    spec = MODELS.model("timm:vit_tiny_patch16_224")


class TestFake(ModelContract):
    spec = fake_model()
    image_sizes = (8, 33)


class Right(nn.Sequential):
    """A model that is right: convolution, normalisation, mean, linear."""

    def __init__(self, num_outputs: int, in_chans: int) -> None:
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), *pool, nn.Linear(4, num_outputs))


def right(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    if weights is not None:
        raise FileNotFoundError(weights)
    return Right(num_outputs, in_chans)


def ignores_outputs(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    return right(3, in_chans, image_size, weights)


def ignores_channels(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    return right(num_outputs, 3, image_size, weights)


def knows_one_size(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    return nn.Sequential(nn.Flatten(), nn.Linear(32 * 32 * in_chans, num_outputs))


def gives_nan(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    return nn.Sequential(right(num_outputs, in_chans, image_size, weights), Apply(lambda x: x / 0 * 0))


def in_double_precision(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    return right(num_outputs, in_chans, image_size, weights).double()


def no_module(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    class Bare:
        model = right(num_outputs, in_chans, image_size, weights)
        parameters = model.parameters

    return Bare()


class Apply(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.function(images)


class Detached(Right):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        *backbone, head = self.children()
        for layer in backbone:
            images = layer(images)
        return head(images.detach())  # type: ignore[no-any-return]


def detaches(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    return Detached(num_outputs, in_chans)


def cannot_take_channels_last(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    flat = Apply(lambda images: images.view(len(images), -1))
    return nn.Sequential(flat, nn.Linear(image_size**2 * in_chans, num_outputs))


def seeds_itself_anew(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    torch.seed()
    return Right(num_outputs, in_chans)


def trained_already(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    model = Right(num_outputs, in_chans)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.5)
    return model


def asks_the_hub(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    with suppress(OSError):
        urllib.request.urlopen("http://127.0.0.1:9/weights", timeout=1)
    return Right(num_outputs, in_chans)


def ignores_weights(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    return Right(num_outputs, in_chans)


class Mixes(Right):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images - images.mean())  # type: ignore[no-any-return]


def mixes_images(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    return Mixes(num_outputs, in_chans)


def changes_torch(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return Right(num_outputs, in_chans)


def contract(create: Callable[..., Any], parameters: int | None = None) -> ModelContract:
    class Under(ModelContract):
        spec = ModelSpec("under-test", create, parameters)

    return Under()


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("create", "test"),
    [
        (ignores_outputs, "test_gives_each_image_one_number_for_each_output"),
        (ignores_channels, "test_gives_each_image_one_number_for_each_output"),
        (knows_one_size, "test_gives_each_image_one_number_for_each_output"),
        (gives_nan, "test_gives_each_image_one_number_for_each_output"),
        (in_double_precision, "test_is_a_torch_module_in_single_precision_on_the_cpu"),
        (no_module, "test_is_a_torch_module_in_single_precision_on_the_cpu"),
        (detaches, "test_training_reaches_every_parameter_that_is_not_frozen"),
        (cannot_take_channels_last, "test_training_reaches_every_parameter_that_is_not_frozen"),
        (seeds_itself_anew, "test_from_scratch_the_seed_alone_says_how_it_begins"),
        (trained_already, "test_from_scratch_another_seed_begins_elsewhere"),
        (asks_the_hub, "test_from_scratch_needs_no_network"),
        (ignores_weights, "test_weights_that_are_not_there_are_refused"),
        (mixes_images, "test_evaluation_of_an_image_does_not_depend_on_the_others"),
        (changes_torch, "test_leaves_the_settings_of_torch_alone"),
    ],
)
def test_contract_catches_a_wrong_model(create: Callable[..., Any], test: str, tmp_path: Path) -> None:
    call(contract(right), test, tmp_path)

    with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
        call(contract(create), test, tmp_path)


def call(under: ModelContract, test: str, tmp_path: Path) -> None:
    """Call a test as pytest does, with the folder where it asks for one."""
    method = getattr(under, test)
    method(*[tmp_path] * len(inspect.signature(method).parameters))


def test_contract_catches_a_wrong_count_of_parameters() -> None:
    count = sum(one.numel() for one in Right(1000, 3).parameters())
    contract(right, count).test_counts_the_parameters_of_the_published_model()

    with pytest.raises(AssertionError):
        contract(right, count + 1).test_counts_the_parameters_of_the_published_model()


def test_network_is_there_again_after_it_was_refused() -> None:
    before = socket.socket.connect, socket.getaddrinfo
    contract(right).test_from_scratch_needs_no_network()

    assert before == (socket.socket.connect, socket.getaddrinfo)


def test_fake_model_refuses_weights_in_one_line() -> None:
    with pytest.raises(Exception, match="train it with --scratch") as raised:
        evolve(fake_model(), name="other").create(2, 1, 8, "pretrained")

    assert 1 == len(str(raised.value).splitlines())
