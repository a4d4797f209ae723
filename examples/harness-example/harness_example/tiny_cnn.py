"""The model `tiny-cnn`: one convolution, for images of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import HarnessError, ModelSpec, hookimpl


def create(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    """Return the model; torch is imported here, so that `harness list models` does without it."""
    from torch import nn

    if weights is not None:
        raise HarnessError(f"tiny-cnn has no weights, and takes none from {weights!r}; train it with --scratch")
    convolution = nn.Conv2d(in_chans, 16, kernel_size=3, padding=1)
    return nn.Sequential(
        convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16 * 2 * 2, num_outputs)
    )


TINY_CNN = ModelSpec("tiny-cnn", create, tags=("example", "cnn"), note="one convolution")


@hookimpl
def harness_register_models(register: Callable[[ModelSpec], None]) -> None:
    register(TINY_CNN)
