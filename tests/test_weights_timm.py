"""Weights of the ImageNet model in a timm model for other classes and channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.errors import HarnessError
from harness.plugins.timm_models import TimmModel


def imagenet(name: str = "test_resnet", **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(7)
    tensors: dict[str, Tensor] = timm.create_model(name, pretrained=False, **options).state_dict()
    return tensors


def file_of(tensors: dict[str, Tensor], ending: str) -> str:
    file = f"weights{ending}"
    if ending == ".safetensors":
        save_file(tensors, file)
    else:
        torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}, file)
    return file


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_stem_is_summed_the_head_starts_anew_and_the_rest_is_kept(ending: str) -> None:
    published = imagenet()
    model = TimmModel("test_resnet")(7, 1, 64, file_of(published, ending))
    taken = model.state_dict()

    torch.testing.assert_close(taken["conv1.0.weight"], published["conv1.0.weight"].sum(1, keepdim=True))
    assert (7, published["fc.weight"].shape[1]) == tuple(taken["fc.weight"].shape)
    fitted = {"conv1.0.weight", "fc.weight", "fc.bias"}
    assert all(torch.equal(published[name], taken[name]) for name in published.keys() - fitted)


def test_imagenet_head_is_kept_for_a_thousand_classes() -> None:
    published = imagenet()
    model = TimmModel("test_resnet")(1000, 3, 64, file_of(published, ".safetensors"))

    assert all(torch.equal(published[name], tensor) for name, tensor in model.state_dict().items())


def test_one_output_gets_a_head_of_its_own() -> None:
    model = TimmModel("test_resnet")(1, 3, 64, file_of(imagenet(), ".safetensors"))

    assert 1 == model.state_dict()["fc.weight"].shape[0]


def test_file_with_a_head_of_its_own_fits() -> None:
    own = imagenet(num_classes=14)
    model = TimmModel("test_resnet")(7, 3, 64, file_of(own, ".pth"))

    assert torch.equal(own["layer1.0.conv1.weight"], model.state_dict()["layer1.0.conv1.weight"])


def test_positions_are_resized_to_the_image() -> None:
    model = TimmModel("test_vit")(7, 1, 64, file_of(imagenet("test_vit"), ".safetensors"))

    assert (1, 7) == tuple(model(torch.zeros(1, 1, 64, 64)).shape)


def test_weights_are_not_kept_twice() -> None:
    model = TimmModel("test_resnet")(7, 3, 64, file_of(imagenet(), ".safetensors"))

    assert model.pretrained_cfg["state_dict"] is None


def test_timm_that_reads_a_format_of_its_own_reads_safetensors_here() -> None:
    """Of `vit_tiny_patch16_224.augreg_in21k`, timm reads .npz files with the model's own `load_pretrained`."""
    from timm.models import get_pretrained_cfg

    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    published = imagenet(name.partition(".")[0])
    model = TimmModel(name)(7, 3, 224, file_of(published, ".safetensors"))

    assert get_pretrained_cfg(name).custom_load
    assert torch.equal(published["blocks.0.attn.qkv.weight"], model.state_dict()["blocks.0.attn.qkv.weight"])


def without(name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in imagenet().items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (lambda: imagenet("test_vit"), "it lacks 'conv1.0.weight' and 74 more"),
        (lambda: imagenet("test_efficientnet"), "RuntimeError: size mismatch for bn1"),
        (lambda: without("conv1.0.weight"), "it lacks 'conv1.0.weight'"),
        (lambda: without("layer1.0.conv1.weight"), "it lacks 'layer1.0.conv1.weight'"),
        (lambda: imagenet() | {"layer9.weight": torch.zeros(1)}, "the model has no place for 'layer9.weight'"),
        (lambda: imagenet() | {"layer1.0.conv1.weight": torch.zeros(1)}, "RuntimeError: size mismatch for layer1"),
        (lambda: imagenet(in_chans=1), "RuntimeError: "),
    ],
    ids=["transformer", "other convolutions", "no stem", "one lacks", "one too many", "other shape", "other stem"],
)
@pytest.mark.parametrize("classes", [7, 1000])
def test_file_of_another_model_is_refused_in_one_line(tensors: Any, reason: str, classes: int) -> None:
    file = file_of(tensors(), ".safetensors")
    with pytest.raises(HarnessError) as refused:
        TimmModel("test_resnet")(classes, 3, 64, file)

    assert f"the weights file '{file}' is not one of the timm model 'test_resnet': " in str(refused.value)
    assert "\n" not in str(refused.value)
    if classes == 7:
        assert reason in str(refused.value)


def test_transformer_refuses_the_weights_of_a_convolutional_network() -> None:
    with pytest.raises(HarnessError, match="is not one of the timm model 'test_vit'"):
        TimmModel("test_vit")(7, 3, 64, file_of(imagenet(), ".safetensors"))


def test_published_weights_that_are_nowhere_are_told() -> None:
    with pytest.raises(HarnessError, match="the weights of 'test_resnet' cannot be had: HF_HUB_OFFLINE is set"):
        TimmModel("test_resnet")(7, 3, 64, "pretrained")

    assert not Path("weights.safetensors").exists()
