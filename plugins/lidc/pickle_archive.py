"""The LIDC archive that is a pickle: `data_lidc.pickle` of github.com/stefanknegt/Probabilistic-Unet-Pytorch.

A dict of patches, key -> {"image": 128 x 128 floats from 0 to 1, "masks": four of 128 x 128 of 0 and 1, "series_uid"}.
Its order is the published one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.plugins.lidc.array_parts import PickledArray
from harness.plugins.lidc.array_pickle import read_arrays
from harness.plugins.lidc.patches import (
    MOST_PATCHES,
    RATERS,
    Patches,
    checked_images,
    checked_uid,
    packed_masks,
)
from harness.weights.choosing import file_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Patch = tuple["NDArray[np.uint8]", "NDArray[np.uint8]", bytes]


def read_pickle(path: Path) -> Patches:
    """Return the patches of the pickle *path*, which is never let run anything (`plugins/array_pickle.py`).

    Raises HarnessError where it is another file, or the first patch that is not as it must be.
    """
    import numpy as np

    archive = read_arrays(path)
    if not isinstance(archive, dict) or not 0 < len(archive) <= MOST_PATCHES:
        found = f"{len(archive):,}" if isinstance(archive, dict) else "something else"
        raise HarnessError(f"{str(path)!r}: expected a dict of up to {MOST_PATCHES:,} patches, found {found}")
    images, masks, uids = zip(*_patches(path, archive), strict=True)
    source = file_digest(str(path)) or ""
    return Patches(np.stack(images), np.stack(masks), np.array(uids), published_order=True, source=source)


def _patches(path: Path, archive: dict[Any, Any]) -> Iterator[_Patch]:
    for number, patch in enumerate(archive.values(), start=1):
        try:
            yield _checked(patch)
        except HarnessError as error:
            raise HarnessError(f"{str(path)!r}, patch {number} of {len(archive)}: {error}") from error
        patch.clear()  # lets go of some hundred kilobytes


def _checked(patch: Any) -> _Patch:
    missing = {"image", "masks", "series_uid"} - (patch.keys() if isinstance(patch, dict) else set())
    if missing:
        raise HarnessError(f"expected image, masks and series_uid, found none called {', '.join(sorted(missing))}")
    image, masks = _array("image", patch["image"]), _masks(patch["masks"])
    if image.ndim != 2 or masks.ndim != 3:
        raise HarnessError("expected an image of 128 x 128 and masks of 4 x 128 x 128, found other dimensions")
    return checked_images(image), packed_masks(masks), checked_uid(patch["series_uid"])


def _masks(masks: object) -> NDArray[Any]:
    """Return the raters' masks as one array; they are a list of arrays, maybe of several types, or one already."""
    import numpy as np

    if not isinstance(masks, (list, tuple)):
        return _array("masks", masks)
    if len(masks) != RATERS:
        raise HarnessError(f"expected the masks of {RATERS} raters, found {len(masks)}")
    arrays = [_array("mask", mask) for mask in masks]
    if len({array.shape for array in arrays}) > 1:
        raise HarnessError("expected masks of one shape, found several")
    # Together with other types, a bool that is another byte than 0 or 1 would become a 1.
    return np.stack([array.view(np.uint8) if array.dtype.kind == "b" else array for array in arrays])


def _array(what: str, value: object) -> NDArray[Any]:
    if not isinstance(value, PickledArray) or value.array is None:
        raise HarnessError(f"expected {what} to be an array, found {type(value).__name__}")
    return value.array
