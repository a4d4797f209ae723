"""A model and a dataset that train in milliseconds, for tests of everything else.

As a plugin (`harness run --plugin harness.testing.fakes --model fake --dataset fake --scratch`) it brings one of each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.hookspecs import hookimpl
from harness.specs import DatasetSpec, ModelSpec, Split, Splits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_IMAGE_SIZE = 8


def fake_model(name: str = "fake") -> ModelSpec:
    """Return a model of one linear layer over the mean of each row of pixels, which takes images of any size."""
    return ModelSpec(name, _create, tags=("fake",), note="one linear layer; for tests")


def fake_dataset(
    name: str = "fake",
    *,
    classes: int = 2,
    in_chans: int = 1,
    splits: tuple[int, int, int] = (32, 8, 8),
    multilabel: bool = False,
) -> DatasetSpec:
    """Return a dataset of made-up images, the same each time: noise around a brightness that tells the class.

    Two classes make the task binary; with *multilabel*, each of the *classes* is a label that an image has or not, as
    one of its bands is bright or not. Raises HarnessError for fewer classes than two, or a split that lacks a class.
    """
    if classes < 2 or min(splits) < classes + multilabel:
        raise HarnessError(f"a fake dataset needs two classes or more, and an image of each in {splits}; has {classes}")

    def load(image_size: int, root: Path | None, download: bool) -> Splits:
        split = _banded_split if multilabel else _split
        return Splits(*(split(count, classes, in_chans, image_size, seed) for seed, count in enumerate(splits)))

    task = "binary" if classes == 2 else "multiclass"

    return DatasetSpec(
        name,
        load,
        num_classes=classes,
        in_chans=in_chans,
        task="multilabel" if multilabel else task,
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
    return Split(_noisy(brightness[:, None, None, None], in_chans, image_size, seed), labels)


def _banded_split(count: int, classes: int, in_chans: int, image_size: int, seed: int) -> Split:
    """Return *count* images of as many bands as there are labels, each label with a rhythm of its own."""
    import numpy as np

    rhythm = np.arange(1, classes + 1)
    labels = np.arange(count, dtype=np.int64)[:, None] // rhythm % 2
    bands = labels[:, np.arange(image_size) * classes // image_size]
    return Split(_noisy(bands[:, None, :, None] * 191, in_chans, image_size, seed), labels)


def _noisy(brightness: NDArray[np.int64], in_chans: int, image_size: int, seed: int) -> NDArray[np.uint8]:
    """Return images `[N, in_chans, image_size, image_size]` of *brightness*, which is broadcast to that, with noise."""
    import numpy as np

    noise = np.random.RandomState(seed).randint(0, 64, (len(brightness), in_chans, image_size, image_size))
    return (brightness + noise).astype(np.uint8)


@hookimpl
def harness_register_models(register: Callable[[ModelSpec], None]) -> None:
    register(fake_model())


@hookimpl
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    register(fake_dataset())
