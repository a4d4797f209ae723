"""Whether a dataset gave what its spec promised: some images and labels of other types train without a complaint."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.specs import DatasetSpec, Split, Splits


def refuse_unfit(dataset: DatasetSpec, splits: Splits, image_size: int) -> None:
    """Raise HarnessError where a split of *dataset* has no images, or not bytes of its channels and *image_size*
    [pixels], or labels that are not in the shape and range of its task.
    """
    for name in ("train", "validation", "test"):
        split: Split = getattr(splits, name)
        _check_images(dataset, f"{name} images", split.images, image_size)
        _check_labels(dataset, f"{name} labels", split)


def _check_images(dataset: DatasetSpec, what: str, images: object, size: int) -> None:
    shape = (dataset.in_chans, size, size)
    is_fit = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.shape[1:] == shape
    if not is_fit or not len(images):  # type: ignore[arg-type]
        wanted = ", ".join(map(str, shape))
        raise _refusal(dataset, f"{what} uint8 [N, {wanted}], N of 1 or more", _described(images))


def _check_labels(dataset: DatasetSpec, what: str, split: Split) -> None:
    labels = split.labels
    shape, most = _wanted(dataset, len(split.images))
    wanted = f"{what} {list(shape)} from 0 to {most}"
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iub":
        raise _refusal(dataset, f"{wanted} in whole numbers", _described(labels))
    if labels.shape != shape or labels.min() < 0 or labels.max() > most:
        span = f" from {labels.min()} to {labels.max()}" if labels.size else ""
        raise _refusal(dataset, wanted, f"{list(labels.shape)}{span}")


def _wanted(dataset: DatasetSpec, count: int) -> tuple[tuple[int, ...], int]:
    """Return shape and highest value of the labels of *count* images."""
    if dataset.task == "multilabel":
        return (count, dataset.num_classes), 1
    return (count,), dataset.num_classes - 1


def _described(found: Any) -> str:
    return f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"


def _refusal(dataset: DatasetSpec, expected: str, found: str) -> HarnessError:
    return HarnessError(
        f"dataset {dataset.name!r}, {dataset.task}: expected {expected}, found {found}; its `load` or its file is wrong"
    )
