"""The paper's 131 models, as the table gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from harness.plugins_loader import PluginChoice, load_plugins

T = TypeVar("T")

MODELS = {
    entry.name: entry.value
    for entry in load_plugins(PluginChoice(autoload=False)).registry.models.entries.values()
    if "pepr131" in entry.value.tags
}
NAMES = list(MODELS)
# The smallest images that MedMNIST publishes: those below say nothing of training.
LEAST = 28


def tags_of(name: str) -> set[str]:
    return set(MODELS[name].tags)


def family(name: str) -> str:
    """Return the tag that names the model's architecture, the last."""
    return MODELS[name].tags[-1]


def lightest_of_each_family() -> list[str]:
    by_size = sorted(NAMES, key=lambda name: -(MODELS[name].parameters or 0))
    return sorted({family(name): name for name in by_size}.values())


def built(name: str, size: int, outputs: int = 7, channels: int = 3) -> Any:
    return MODELS[name].create(num_outputs=outputs, in_chans=channels, image_size=size, weights=None)


def without_numbers(action: Callable[[], T]) -> T:
    """Return what *action* gives on the meta device, where only shapes are made, or where it cannot run there, here."""
    try:
        with torch.device("meta"):
            return action()
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error):
            raise
        return action()  # timm 1.0.15 cannot build all of them there


def passes(name: str, size: int) -> bool:
    """Say whether a training batch of two passes through the model."""
    return parameters(name, size) is not None


def parameters(name: str, size: int) -> int | None:
    """Return how many parameters the model has for ImageNet; None if no training batch of two passes through it."""

    def count() -> int:
        model = built(name, size, outputs=1000)
        model(torch.zeros(2, 3, size, size))
        return sum(parameter.numel() for parameter in model.parameters())

    try:
        with torch.no_grad():
            return without_numbers(count)
    except (RuntimeError, ValueError, AssertionError):
        return None
