"""Labels in an npz file of one's own: the number of a class to each image, or several that each are there or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.plugins.images.labelled_images import SPLITS
from harness.plugins.images.npz_file import Expected, Header

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = Mapping[str, NDArray[Any]]

WAY_OUT = "write uint8 images and whole-number labels with numpy.savez_compressed (docs/datasets.md)"
_WHOLE_NUMBERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
ANY_LABELS = Expected(_WHOLE_NUMBERS, ((None,), (None, None)))
# The upper bound is to tell labels from things that are none.
_CLASS = Expected(_WHOLE_NUMBERS, ((None, 1), (None,)), (0, 9999))


def labels_told_by(path: Path, headers: Mapping[str, Header]) -> Expected:
    """Return what the labels of *path* have to be by their shapes: numbers of classes or, with several columns, 0 or 1.

    Raises HarnessError where the splits have not as many columns each.
    """
    shapes = {split: headers[f"{split}_labels"].shape for split in SPLITS}
    columns = {split: shape[1] if len(shape) > 1 else 1 for split, shape in shapes.items()}
    if len(set(columns.values())) > 1:
        found = ", ".join(f"{count} in '{split}_labels'" for split, count in columns.items())
        raise HarnessError(f"{str(path)!r}: expected as many labels an image in all splits, found {found}; {WAY_OUT}")
    several = columns["train"]
    return _CLASS if several == 1 else Expected(_WHOLE_NUMBERS, ((None, several),), (0, 1))


def task_told_by(path: Path, labels: Labels) -> tuple[str, int]:
    """Return the task of *labels* by split, and the number of classes or, for "multilabel", of labels.

    Raises HarnessError for what no training image teaches.
    """
    train = labels["train"]
    if train.size > len(train):
        _check_several(path, labels)
        return "multilabel", train.shape[1]
    classes = _classes(path, labels)
    return "binary" if classes == 2 else "multiclass", classes


def _classes(path: Path, labels: Labels) -> int:
    """Return the number of classes; each that is in any split has to have training images."""
    import numpy as np

    highest = max(int(each.max()) for each in labels.values())
    missing = sorted(set(range(highest + 1)) - set(np.unique(labels["train"]).tolist()))
    if highest == 0 or missing:
        found = "one class only" if highest == 0 else f"no training image of class {', '.join(map(str, missing[:10]))}"
        raise HarnessError(
            f"{str(path)!r}: expected labels of two or more classes, counted from 0, found {found}; {WAY_OUT}"
        )
    return highest + 1


def _check_several(path: Path, labels: Labels) -> None:
    """Refuse labels that all training images have, or none, and classes that are written as a column each."""
    train = labels["train"]
    same = [str(column) for column in range(train.shape[1]) if len(set(train[:, column].tolist())) == 1]
    if same:
        raise HarnessError(
            f"{str(path)!r}: expected each label to be 0 for some training images and 1 for others, found label "
            f"{', '.join(same[:10])} the same for all; leave it out"
        )
    if all((each.sum(axis=1) == 1).all() for each in labels.values()):
        raise HarnessError(
            f"{str(path)!r}: expected images that have several labels, or none, found one label to every image, as of "
            "classes; write the classes' numbers: labels.argmax(axis=1)"
        )
