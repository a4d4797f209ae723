"""A model and a dataset that train in milliseconds, for tests of everything else.

As a plugin (`harness run --plugin harness.testing.fakes --model fake --dataset fake --scratch`) it brings one of each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.specs import DatasetSpec, ModelSpec, Split, Splits

_IMAGE_SIZE = 8


def fake_model(name: str = "fake") -> ModelSpec:
    """Return a model of one linear layer over the mean of each row of pixels, which takes images of any size."""
    return ModelSpec(name, _create, tags=("fake",), note="one linear layer; for tests")


def fake_dataset(
    name: str = "fake", *, classes: int = 2, in_chans: int = 1, splits: tuple[int, int, int] = (32, 8, 8)
) -> DatasetSpec:
    """Return a dataset of made-up images, the same each time: noise around a brightness that tells the class.

    Two classes make the task binary. Raises HarnessError for fewer classes than two, or a split that lacks a class.
    """
    if classes < 2 or min(splits) < classes:
        raise HarnessError(f"a fake dataset needs two classes or more, and an image of each in {splits}; has {classes}")

    def load(image_size: int, root: Path | None, download: bool) -> Splits:
        train, validation, test = (
            _split(count, classes, in_chans, image_size, seed) for seed, count in enumerate(splits)
        )
        return Splits(train, validation, test)

    return DatasetSpec(
        name,
        load,
        num_classes=classes,
        in_chans=in_chans,
        task="binary" if classes == 2 else "multiclass",
        splits=splits,
        default_image_size=_IMAGE_SIZE,
        note="made-up images; for tests",
    )


def _create(num_outputs: int, in_chans: int, image_size: int, weights: str | None) -> Any:
    if weights is not None:
        raise HarnessError(f"the fake model has no weights, and takes none from {weights!r}; train it with --scratch")

    import torch

    pool = torch.nn.AdaptiveAvgPool2d((_IMAGE_SIZE, 1))
    return torch.nn.Sequential(pool, torch.nn.Flatten(), torch.nn.Linear(_IMAGE_SIZE * in_chans, num_outputs))


def _split(count: int, classes: int, in_chans: int, image_size: int, seed: int) -> Split:
    """Return *count* images, every class as often as the others or once more."""
    import numpy as np

    labels = np.arange(count, dtype=np.int64) % classes
    brightness = labels * (191 // (classes - 1))
    noise = np.random.RandomState(seed).randint(0, 64, (count, in_chans, image_size, image_size))
    return Split((brightness[:, None, None, None] + noise).astype(np.uint8), labels)


@hookimpl
def harness_register_models(register: Callable[[ModelSpec], None]) -> None:
    register(fake_model())


@hookimpl
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    register(fake_dataset())
