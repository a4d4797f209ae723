"""What a trial sees of its dataset: the drawn part of the training images, the batches, and their digest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import HarnessError
from harness.records import Setting
from harness.specs import DatasetSpec, Split, Splits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def drawn_count(count: int, fraction: float) -> int:
    """Return how many of *count* images a *fraction* is, rounded down, at least one: of 0.29 as it is written."""
    return max(1, math.floor(Fraction(str(fraction)) * count))


def drawn(split: Split, fraction: float, seed: int, *, stratified: bool = False) -> Split:
    """Return the *fraction* of *split* that *seed* draws, at least one image, in stored order.

    Fractions of images are dropped. With *stratified*, each class keeps its share as well as whole images allow;
    raises HarnessError where there are too few of a class for that.
    """
    if fraction == 1:
        return split

    size = drawn_count(len(split.labels), fraction)
    draw = _stratified if stratified else _any
    chosen = np.sort(draw(split.labels, size, seed))
    return Split(split.images[chosen], split.labels[chosen])


def refuse_stratified(dataset: DatasetSpec, setting: Setting) -> None:
    """Raise HarnessError where *setting* asks for classes to keep their shares and *dataset* has no classes for that.

    Images with the same labels, all fourteen of them, are too few to be drawn from, and shares kept label by label are
    another method than the one that `--stratified` names.
    """
    if setting.stratified and dataset.task == "multilabel":
        raise HarnessError(
            f"--stratified draws class by class, and an image of dataset {dataset.name!r} has several labels at once; "
            "leave --stratified out"
        )


def _any(labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    chosen: NDArray[np.int64] = np.random.RandomState(seed).permutation(len(labels))[:size]
    return chosen


def _stratified(labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    from sklearn.model_selection import train_test_split

    try:
        chosen, _ = train_test_split(np.arange(len(labels)), train_size=size, random_state=seed, stratify=labels)
    except ValueError as error:
        raise HarnessError(
            f"--stratified cannot draw {size} of {len(labels)} training images ({error}); "
            "choose a larger --train-fraction or leave --stratified out"
        ) from error
    return np.asarray(chosen)


def batches(order: Tensor, size: int) -> Iterator[Tensor]:
    """Yield *order* in pieces of *size*; a last piece of one joins the piece before it.

    A batch of one has no variance, which batch normalisation needs.
    """
    count = len(order)
    last = count - size if leaves_one(count, size) else count
    first = 0
    while first < count:
        end = count if first + size > last else first + size
        yield order[first:end]
        first = end


def leaves_one(count: int, size: int) -> bool:
    """Say whether *count* images in batches of *size* end with a batch of one, which can join another."""
    return size > 1 and count > size and count % size == 1


def splits_digest(splits: Splits) -> str:
    """Return the SHA-256 of all images and labels: tells whether two trials saw the same data."""
    digest = hashlib.sha256()
    for split in (splits.train, splits.validation, splits.test):
        for array in (split.images, split.labels):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
