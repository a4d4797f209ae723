"""A dataset that gives other things than it promised is one line, before anything is trained or metered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attrs import evolve

from harness.errors import HarnessError
from harness.specs import DatasetSpec, Split, Splits
from harness.testing import fake_dataset
from harness.training.split_check import refuse_unfit

SEVERAL = fake_dataset(classes=4, multilabel=True)
CLASSES = fake_dataset(classes=3)


def splits_of(dataset: DatasetSpec) -> Splits:
    return dataset.load(image_size=8, root=None, download=False)


@pytest.mark.parametrize("dataset", [SEVERAL, CLASSES, fake_dataset()])
@pytest.mark.parametrize("type_of_labels", ["int64", "uint8"])
def test_what_was_promised_passes(dataset: DatasetSpec, type_of_labels: str) -> None:
    splits = splits_of(dataset)
    train = Split(splits.train.images, splits.train.labels.astype(type_of_labels))

    refuse_unfit(dataset, evolve(splits, train=train), 8)


def test_labels_that_are_true_or_false_pass() -> None:
    splits = splits_of(SEVERAL)

    refuse_unfit(SEVERAL, evolve(splits, train=Split(splits.train.images, splits.train.labels == 1)), 8)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda labels: labels / 2, r"float64 \[32, 4\]"),
        (lambda labels: np.full(labels.shape, np.nan, np.float32), r"float32 \[32, 4\]"),
        (lambda labels: labels.astype(object), r"object \[32, 4\]"),
        (lambda labels: labels.tolist(), "a list"),
    ],
)
def test_labels_that_are_no_whole_numbers_are_refused(change: Any, found: str) -> None:
    splits = splits_of(SEVERAL)
    wrong = evolve(splits, train=Split(splits.train.images, change(splits.train.labels)))

    told = rf"dataset 'fake', multilabel: expected train labels \[32, 4\] from 0 to 1 in whole numbers, found {found};"
    with pytest.raises(HarnessError, match=told):
        refuse_unfit(SEVERAL, wrong, 8)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda images: (images / 255).astype("float32"), r"float32 \[8, 1, 8, 8\]"),
        (lambda images: images[:, :, :7], r"uint8 \[8, 1, 7, 8\]"),
        (lambda images: images.repeat(3, axis=1), r"uint8 \[8, 3, 8, 8\]"),
        (lambda images: images[:, 0], r"uint8 \[8, 8, 8\]"),
        (lambda images: images[:0], r"uint8 \[0, 1, 8, 8\]"),
        (lambda images: list(images), "a list"),
    ],
)
def test_images_that_are_no_bytes_of_the_size_asked_for_are_refused(change: Any, found: str) -> None:
    """Numbers from 0 to 1 would be divided by 255 once more, and train as black."""
    splits = splits_of(CLASSES)
    changed = change(splits.test.images)
    wrong = evolve(splits, test=Split(changed, splits.test.labels[: len(changed)]))

    told = rf"dataset 'fake', multiclass: expected test images uint8 \[N, 1, 8, 8\], N of 1 or more, found {found};"
    with pytest.raises(HarnessError, match=told):
        refuse_unfit(CLASSES, wrong, 8)


def test_split_without_images_is_refused_before_training() -> None:
    splits = splits_of(CLASSES)
    nothing = Split(splits.validation.images[:0], splits.validation.labels[:0])

    with pytest.raises(HarnessError, match=r"expected validation images uint8 \[N, 1, 8, 8\], N of 1 or more, found"):
        refuse_unfit(CLASSES, evolve(splits, validation=nothing), 8)
