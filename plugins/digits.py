"""`digits`: the 1,797 handwritten digits that scikit-learn carries, the dataset that needs no download.

They are the test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository (1998): 8 x 8 pixels, grey values 0 to 16, ten classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.hookspecs import hookimpl
from harness.plugins.images.image_resizing import check_room, resized_images
from harness.specs import DatasetSpec, Split, Splits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIZES = (1077, 360, 360)
# Fixed for good: which image is in which split is part of what a stored trial means. Drawn with RandomState, the one
# generator whose stream NumPy promises never to change (NEP 19).
_SPLIT_SEED = 20250106


def load(image_size: int, root: Path | None, download: bool) -> Splits:
    """Return the digits at *image_size* pixels, three equal channels; nothing is read from *root* or downloaded."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.RandomState(_SPLIT_SEED).permutation(len(digits.target))
    images = _resized(digits.images[order], image_size)
    labels = digits.target[order].astype(np.int64)
    ends = np.cumsum(_SIZES)
    train, validation, test = (
        Split(images[to - n : to], labels[to - n : to]) for n, to in zip(_SIZES, ends, strict=True)
    )
    return Splits(train, validation, test)


def check(image_size: int, root: Path | None, download: bool) -> None:
    """Raise HarnessError where the digits do not fit into memory at *image_size* pixels."""
    count = sum(_SIZES)
    grey_and_colour = 1 + 3
    check_room(grey_and_colour * count * image_size**2, f"{count:,} images of {image_size} x {image_size} pixels take")


def _resized(images: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Return images of 0 to 16 `[N, 8, 8]` as `uint8 [N, 3, size, size]`, bicubic."""
    import numpy as np

    grey = np.rint(images * (255 / 16)).astype(np.uint8)
    return np.repeat(resized_images(grey, size), 3, axis=1)


@hookimpl
def harness_register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    register(
        DatasetSpec(
            name="digits",
            load=load,
            num_classes=10,
            in_chans=3,
            splits=_SIZES,
            image_sizes=(8,),
            default_image_size=32,
            check=check,
            note="handwritten digits that scikit-learn carries; no download",
        )
    )
