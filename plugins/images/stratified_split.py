"""Drawing train, validation and test from the images of a folder that does not say which are which."""

from __future__ import annotations

from collections import Counter

from harness.plugins.images.image_folder import ImageFile, ImageFolder

# Of each class, for validation and for test; the rest is for training.
_FRACTION = 0.2
# Fixed for good: which image is in which split is part of what a stored trial means. Drawn with RandomState, the one
# generator whose stream NumPy promises never to change (NEP 19).
_SPLIT_SEED = 20261124

ThreeSplits = tuple[tuple[ImageFile, ...], tuple[ImageFile, ...], tuple[ImageFile, ...]]


def split_counts(folder: ImageFolder) -> tuple[int, int, int]:
    """Return the number of images in (train, validation, test)."""
    if len(folder.splits) == 3:
        train, validation, test = map(len, folder.splits)
        return train, validation, test

    counts = Counter(image.label for image in folder.images)
    held_out = sum(map(_held_out, counts.values()))
    return len(folder.images) - 2 * held_out, held_out, held_out


def drawn_splits(folder: ImageFolder) -> ThreeSplits:
    """Return the images of (train, validation, test): as the folder says, else 60/20/20 of each class.

    Each class is drawn by itself, so that a rare one is in all three; the order is the folder's.
    """
    if len(folder.splits) == 3:
        train, validation, test = folder.splits
        return train, validation, test

    part_of: dict[ImageFile, int] = {}
    for label in range(len(folder.classes)):
        images = [image for image in folder.images if image.label == label]
        part_of |= _parts(images)
    train, validation, test = (tuple(image for image in folder.images if part_of[image] == part) for part in range(3))
    return train, validation, test


def _parts(images: list[ImageFile]) -> dict[ImageFile, int]:
    """Return 0 (train), 1 (validation) or 2 (test) for each of *images*, all of one class."""
    import numpy as np

    held_out = _held_out(len(images))
    order = np.random.RandomState(_SPLIT_SEED).permutation(len(images)).tolist()
    return {images[index]: max(0, 2 - place // held_out) for place, index in enumerate(order)}


def _held_out(count: int) -> int:
    return max(1, round(_FRACTION * count))
