"""Whether the labels of a dataset are such as its task needs: the losses of some tasks would take any number."""

from __future__ import annotations

from harness.errors import HarnessError
from harness.specs import DatasetSpec, Split, Splits


def refuse_unlabelled(dataset: DatasetSpec, splits: Splits) -> None:
    """Raise HarnessError where labels of *splits* are not in the shape and range that the task of *dataset* has."""
    for name in ("train", "validation", "test"):
        split: Split = getattr(splits, name)
        labels, count = split.labels, len(split.images)
        shape, most = _wanted(dataset, count)
        low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
        if labels.shape != shape or low < 0 or high > most:
            raise HarnessError(
                f"dataset {dataset.name!r}, {dataset.task}: expected {name} labels {list(shape)} from 0 to {most}, "
                f"found {list(labels.shape)} from {low} to {high}; its `load` or its file is wrong"
            )


def _wanted(dataset: DatasetSpec, count: int) -> tuple[tuple[int, ...], int]:
    """Return shape and highest value of the labels of *count* images."""
    if dataset.task == "multilabel":
        return (count, dataset.num_classes), 1
    return (count,), dataset.num_classes - 1
