"""The paper's 131 models, as the table gives them."""

from __future__ import annotations

from typing import Any

import torch

from harness.plugins_loader import PluginChoice, load_plugins
from harness.specs import ModelSpec

MODELS = {
    entry.name: entry.value
    for entry in load_plugins(PluginChoice(autoload=False)).registry.models.entries.values()
    if "pepr131" in entry.value.tags
}
NAMES = list(MODELS)


def tags_of(name: str) -> set[str]:
    return set(MODELS[name].tags)


def family(name: str) -> str:
    """Return the tag that names the model's architecture, the last."""
    return MODELS[name].tags[-1]


def lightest_of_each_family() -> list[str]:
    by_size = sorted(NAMES, key=lambda name: -(MODELS[name].parameters or 0))
    return sorted({family(name): name for name in by_size}.values())


def built(spec: ModelSpec, size: int, outputs: int = 7, channels: int = 3) -> Any:
    return spec.create(num_outputs=outputs, in_chans=channels, image_size=size, weights=None)


def runs_without_content(name: str, size: int) -> bool:
    """Say whether a training batch of two passes through the model on the meta device, where only shapes are made."""
    try:
        with torch.device("meta"), torch.no_grad():
            built(MODELS[name], size)(torch.zeros(2, 3, size, size))
    except (RuntimeError, ValueError, AssertionError):
        return False
    return True
