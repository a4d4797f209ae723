"""MedMNIST's layout, three splits of images with labels each in one npz file, and how it becomes a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from harness.plugins.images.image_resizing import check_room, resized_images
from harness.plugins.images.npz_file import Expected, Header
from harness.specs import Split, Splits

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Their names in the file, in the order of `Splits`.
SPLITS = ("train", "val", "test")


def each_split(images: Mapping[str, Expected], labels: Expected) -> dict[str, Expected]:
    """Return what the six arrays have to be: *images* by split, *labels* alike in all."""
    return {
        f"{split}_{kind}": expected
        for split in SPLITS
        for kind, expected in (("images", images[split]), ("labels", labels))
    }


def splits_of(arrays: dict[str, NDArray[Any]], size: int) -> Splits:
    """Return *arrays*, as in the file, at *size* pixels; each is taken out of the dictionary, so that memory is freed.

    Raises HarnessError where the images do not fit into memory.
    """

    def taken(split: str) -> Split:
        labels = arrays.pop(f"{split}_labels").astype("int64")
        flat = labels.reshape(-1) if labels.size == len(labels) else labels
        return Split(resized_images(arrays.pop(f"{split}_images"), size), flat)

    return Splits(*map(taken, SPLITS))


def check_memory(headers: Mapping[str, Header], size: int) -> None:
    """Raise HarnessError where the images as stored and as resized to *size* pixels do not fit into memory."""
    shapes = [header.shape for name, header in headers.items() if name.endswith("_images")]
    stored = sum(prod(shape) for shape in shapes)
    resized = sum(shape[0] * prod(shape[3:]) * size * size for shape in shapes)
    count = sum(shape[0] for shape in shapes)
    check_room(stored + resized, f"{count:,} images, as stored and at {size} x {size} pixels, take")
