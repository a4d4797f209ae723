"""`gluon_xception65` against its published architecture, written down here in functional calls on a state dict."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.errors import HarnessError
from harness.plugins import gluon_xception
from harness.plugins.gluon_xception import GluonXception65, todays_names
from harness.plugins_loader import load_plugins

create = GluonXception65()


class Reference:
    """The forward pass of the published network on weights under their published names, in evaluation mode."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = self.weights[f"{name}.weight"]
        groups = x.shape[1] // kernel.shape[1]
        return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            self.weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift

    def separable(self, x: Tensor, name: str, norm: str, stride: int = 1) -> Tensor:
        within = self.norm(self.conv(x, f"{name}.conv_dw", stride), f"{name}.bn")
        return self.norm(self.conv(within, f"{name}.conv_pw"), norm)

    def block(self, x: Tensor, name: str, stride: int = 1, relu_first: bool = True) -> Tensor:
        branch = x
        for number in (1, 2, 3):
            branch = branch.relu() if number > 1 or relu_first else branch
            last = stride if number == 3 else 1
            branch = self.separable(branch, f"{name}.rep.conv{number}", f"{name}.rep.bn{number}", last)
        if f"{name}.skip.conv1.weight" not in self.weights:
            return branch + x
        return branch + self.norm(self.conv(x, f"{name}.skip.conv1", stride), f"{name}.skip.bn1")

    def __call__(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x, "conv1", 2), "bn1").relu()
        x = self.norm(self.conv(x, "conv2"), "bn2").relu()
        x = self.block(x, "block1", 2, relu_first=False).relu()
        x = self.block(x, "block2", 2, relu_first=False)
        x = self.block(x, "block3", 2)
        for number in range(4, 20):
            x = self.block(x, f"mid.block{number}")
        x = self.block(x, "block20", 2).relu()
        for number in (3, 4, 5):
            x = self.separable(x, f"conv{number}", f"bn{number}").relu()
        return x.mean((2, 3)) @ self.weights["fc.weight"].T + self.weights["fc.bias"]


def channels() -> dict[str, tuple[int, ...]]:
    """Return the shape of every convolution and of the classifier, by published name."""
    shapes: dict[str, tuple[int, ...]] = {"conv1": (32, 3, 3, 3), "conv2": (64, 32, 3, 3), "fc": (1000, 2048)}

    def separable(name: str, before: int, after: int) -> None:
        shapes[f"{name}.conv_dw"], shapes[f"{name}.conv_pw"] = (before, 1, 3, 3), (after, before, 1, 1)

    widths = {"block1": (64, 128), "block2": (128, 256), "block3": (256, 728), "block20": (728, 1024)}
    for name, (before, after) in widths.items():
        shapes[f"{name}.skip.conv1"] = (after, before, 1, 1)
        first = before if name == "block20" else after
        for number, ends in enumerate(((before, first), (first, after), (after, after)), start=1):
            separable(f"{name}.rep.conv{number}", *ends)
    for block in range(4, 20):
        for number in (1, 2, 3):
            separable(f"mid.block{block}.rep.conv{number}", 728, 728)
    for conv, before, after in (("conv3", 1024, 1536), ("conv4", 1536, 1536), ("conv5", 1536, 2048)):
        separable(conv, before, after)
    return shapes


def norm_after(conv: str) -> str:
    """Return the published name of the batch normalisation that follows *conv*."""
    if conv.endswith("conv_dw"):
        return f"{conv.removesuffix('.conv_dw')}.bn"
    start, _, number = conv.removesuffix(".conv_pw").rpartition("conv")
    return f"{start}bn{number}"


class Calibration(Reference):
    """A forward pass that sets the statistics of each normalisation to those of its input, as training would."""

    def norm(self, x: Tensor, name: str) -> Tensor:
        self.weights[f"{name}.running_mean"] = x.mean((0, 2, 3))
        self.weights[f"{name}.running_var"] = x.var((0, 2, 3))
        return super().norm(x, name)


def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Weights in the layout of the published file."""
    torch.manual_seed(0)
    weights = {"fc.bias": torch.randn(1000)}
    for name, shape in channels().items():
        # Small, so that the variances are, and the epsilon beside them matters.
        weights[f"{name}.weight"] = torch.randn(shape) * 0.1 / torch.Size(shape[1:]).numel() ** 0.5
        if name != "fc":
            weights[f"{norm_after(name)}.weight"] = torch.rand(shape[0]) + 0.5
            weights[f"{norm_after(name)}.bias"] = torch.randn(shape[0]) * 0.3
    with torch.inference_mode():
        Calibration(weights)(images())
    return {name: values.clone() for name, values in weights.items()}


@pytest.fixture(scope="module")
def file(published: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> str:
    counters = {f"{norm_after(name)}.num_batches_tracked": torch.tensor(1) for name in channels() if name != "fc"}
    place = tmp_path_factory.mktemp("weights") / "gluon_xception65.pth"
    torch.save({**published, **counters}, place)
    return str(place)


@pytest.fixture(scope="module")
def model(file: str) -> nn.Module:
    return create(1000, 3, 64, file).eval()


@pytest.fixture(scope="module")
def expected(published: dict[str, Tensor]) -> Tensor:
    with torch.inference_mode():
        return Reference(published)(images())


def distance(model: nn.Module, expected: Tensor) -> float:
    """Return how far the outputs of *model* are from those expected, in standard deviations of the latter."""
    with torch.inference_mode():
        return ((model(images()) - expected).abs().max() / expected.std()).item()


def test_it_computes_what_the_published_network_does(model: nn.Module, expected: Tensor) -> None:
    assert distance(model, expected) < 1e-3


def with_timms_epsilon(model: Any) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3


def without_relu_after(block: str) -> Callable[[Any], None]:
    return lambda model: setattr(model.blocks, f"{block}_act", nn.Identity())


def with_relu_within_the_exit(model: Any) -> None:
    for separable in model.blocks.get_submodule("20").stack:
        separable.act_dw = nn.ReLU()


@pytest.mark.parametrize(
    "undo",
    [with_timms_epsilon, without_relu_after("0"), without_relu_after("19"), with_relu_within_the_exit],
    ids=["epsilon", "relu after block 0", "relu after block 19", "no relu within the exit"],
)
def test_each_of_the_four_differences_is_seen(undo: Callable[[Any], None], model: nn.Module, expected: Tensor) -> None:
    other = copy.deepcopy(model)
    undo(other)

    assert distance(other, expected) > 0.01


def test_parameters_are_the_papers_and_bear_the_names_of_timms_xception65() -> None:
    import timm

    with torch.device("meta"):
        model, todays = create(1000, 3, 256, None), timm.create_model("xception65")

    assert 39_916_312 == sum(parameter.numel() for parameter in model.parameters())
    assert todays.state_dict().keys() == model.state_dict().keys()


def test_names_of_today_stay_as_they_are() -> None:
    with torch.device("meta"):
        names = create(1000, 3, 256, None).state_dict()

    assert names.keys() == todays_names(names).keys()


def test_other_channels_sum_the_stem_and_other_outputs_have_a_new_classifier(
    published: dict[str, Tensor], file: str
) -> None:
    weights = create(7, 1, 64, file).state_dict()

    torch.testing.assert_close(published["conv1.weight"].sum(1, keepdim=True), weights["stem.0.conv.weight"])
    assert (7, 2048) == weights["head.fc.weight"].shape


def test_published_weights_have_to_be_fetched_by_hand_and_it_says_how() -> None:
    with pytest.raises(HarnessError, match=r"gluon_xception-7015a15c\.pth at FOLDER/gluon_xception65\.pth"):
        create(7, 3, 256, "pretrained")


def test_the_table_gives_this_model() -> None:
    assert isinstance(load_plugins().registry.model("gluon_xception65").create, gluon_xception.GluonXception65)
