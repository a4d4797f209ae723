"""`gluon_xception65`, which timm dropped after 0.8, rebuilt on timm's `xception65`: same parameters, another function.

Four things are different, all of them without parameters:
https://github.com/huggingface/pytorch-image-models/blob/v0.6.13/timm/models/gluon_xception.py
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.errors import HarnessError
from harness.plugins.timm_weights import loading, refuse_unless_whole
from harness.weights.file import read_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

_URL = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/gluon_xception-7015a15c.pth"
# What timm has to know of the file to adapt it to other channels and outputs.
_PUBLISHED = {"num_classes": 1000, "input_size": (3, 299, 299), "first_conv": "stem.0.conv", "classifier": "head.fc"}
# Of the numbered blocks, those whose output goes through a ReLU: the first, and the last before the exit flow.
_ACTIVATED = ("0", "19")
_EXIT = "20"
# What the published file calls a layer, and what timm's `xception65` calls it; blocks are counted from 1 and from 0.
_STEM = {"conv1": "stem.0.conv", "bn1": "stem.0.bn", "conv2": "stem.1.conv", "bn2": "stem.1.bn"}
_EXIT_CONV = re.compile(r"conv([345])\.(conv_dw|bn|conv_pw)\.")
_EXIT_NORM = re.compile(r"bn([345])\.")
_BLOCK = re.compile(r"(?:mid\.)?block(\d+)\.(?:rep|skip)\.")


@frozen
class GluonXception65:
    """Creates `gluon_xception65` as timm 0.6.13 had it."""

    name: str = "gluon_xception65"

    def __call__(self, num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> nn.Module:
        """Return the model, from scratch or with the weights of a file: the published one, or one of its own.

        Raises HarnessError for "pretrained", since the published file is on no hub, and for a file of another model.
        """
        import timm

        model: nn.Module = timm.create_model("xception65", num_classes=num_outputs, in_chans=in_chans)
        _make_gluon(model)
        if weights == "pretrained":
            raise HarnessError(
                f"the weights of {self.name!r} are on no hub: put {_URL} at FOLDER/{self.name}.pth and give "
                f"--weights-dir FOLDER, or train with --scratch"
            )
        if weights is not None:
            _load(model, weights, num_outputs, in_chans)
        return model

    @property
    def weights_tag(self) -> str:
        """What tells the published weights from others: the first digits of the file's SHA-256."""
        return "gluon-7015a15c"

    @property
    def weights_url(self) -> str:
        """Where the published weights can be had by hand: they are on no hub."""
        return _URL


def _make_gluon(model: Any) -> None:
    """Turn timm's `xception65` into the Gluon function; no parameter changes its name."""
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5
    for separable in model.blocks.get_submodule(_EXIT).stack:
        separable.act_dw = nn.Identity()
    model.blocks = nn.Sequential(OrderedDict(_activated(model.blocks)))


def _activated(blocks: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    """Yield the named *blocks*, a ReLU after two of them: both branches of the next block then see its output."""
    from torch import nn

    for name, block in blocks.named_children():
        yield name, block
        if name in _ACTIVATED:
            yield f"{name}_act", nn.ReLU(inplace=True)


def _load(model: nn.Module, file: str, num_outputs: int, in_chans: int) -> None:
    """Load the weights in *file*; the classifier stays new for other than 1000 outputs, as timm does it."""
    from timm.models import load_pretrained

    published = {**_PUBLISHED, "state_dict": todays_names(read_weights(file))}
    with loading(file, "gluon_xception65") as loads:
        load_pretrained(model, published, num_outputs, in_chans)
    refuse_unless_whole(loads, "head.fc", file, "gluon_xception65")


def todays_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the *weights* of the published file under the names that timm's `xception65` has for them.

    Names that are today's already stay as they are.
    """
    return {_todays_name(name): values for name, values in weights.items()}


def _todays_name(name: str) -> str:
    layer, _, rest = name.partition(".")
    if layer == "fc":
        return f"head.fc.{rest}"
    if layer in _STEM:
        return f"{_STEM[layer]}.{rest}"
    if _EXIT_CONV.match(name):
        return _EXIT_CONV.sub(lambda found: f"blocks.20.stack.{_exit(found[1])}.{_separable(found[2])}.", name)
    if _EXIT_NORM.match(name):
        return _EXIT_NORM.sub(lambda found: f"blocks.20.stack.{_exit(found[1])}.bn_pw.", name)
    block = _BLOCK.match(name)
    return f"blocks.{int(block[1]) - 1}.{_in_block(name[block.end() :], 'skip' in block[0])}" if block else name


def _exit(number: str) -> str:
    return f"conv{int(number) - 2}"


def _separable(layer: str) -> str:
    return "bn_dw" if layer == "bn" else layer


def _in_block(name: str, shortcut: bool) -> str:
    """Return today's name of a value of a block: of `conv2.bn.weight`, `bn2.weight` or, of a shortcut, `bn1.weight`."""
    layer, _, rest = name.partition(".")
    if shortcut:
        return f"shortcut.{layer.rstrip('1')}.{rest}"
    if layer.startswith("bn"):
        return f"stack.conv{layer.removeprefix('bn')}.bn_pw.{rest}"
    part, _, value = rest.partition(".")
    return f"stack.{layer}.{_separable(part)}.{value}"
