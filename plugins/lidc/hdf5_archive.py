"""The LIDC archive that is HDF5: `data_lidc.hdf5`, as github.com/baumgach/PHiSeg-code makes it of the pickle.

Groups train, val and test of `images` (n, 128, 128), 0.5 less than in the pickle, `labels` (n, 128, 128, 4) and `uids`,
whole numbers that stand for the series. Which series is in which group was drawn anew, without a seed, each time such a
file was made: the published order cannot be had from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.plugins.lidc.patches import (
    MOST_PATCHES,
    RATERS,
    SIDE,
    Patches,
    checked_images,
    checked_uid,
    packed_masks,
)
from harness.weights.choosing import file_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GROUPS = ("train", "val", "test")
_ARRAYS = ("images", "labels", "uids")
# Patches that are read at a time: 33 MB of images of 64 bits.
_STEP = 256
# A chunk is unpacked as a whole, however few bytes it is packed into.
_MOST_AT_ONCE = 1 << 30

_Piece = tuple["NDArray[np.uint8]", "NDArray[np.uint8]", list[bytes]]


def read_hdf5(path: Path) -> Patches:
    """Return the patches of the HDF5 file *path*, read piece by piece: train, val, then test.

    Raises HarnessError where h5py is not installed, or the file is damaged, or another one.
    """
    import numpy as np

    try:
        import h5py
    except ImportError as error:
        raise HarnessError(f"reading {str(path)!r} needs h5py: pip install 'pepr-harness[lidc]'") from error
    try:
        with h5py.File(path, "r") as archive:
            groups = {name: _checked_group(archive, name) for name in _GROUPS}
            pieces = [piece for name, group in groups.items() for piece in _pieces(name, group)]
    except HarnessError as error:
        raise HarnessError(f"{str(path)!r}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # h5py raises a dozen kinds for damaged files
        told = " ".join(str(error).split())[:150]
        raise HarnessError(
            f"{str(path)!r}: expected an HDF5 file, found a damaged one ({told}); copy it anew"
        ) from error
    images, masks, uids = zip(*pieces, strict=True)
    flat = np.array([uid for some in uids for uid in some])
    source = file_digest(str(path)) or ""
    return Patches(np.concatenate(images), np.concatenate(masks), flat, published_order=False, source=source)


def _checked_group(archive: Any, name: str) -> dict[str, Any]:
    """Return the arrays of the group *name*, their shapes checked; nothing of them is read yet."""
    arrays = {each: _own_array(archive, f"{name}/{each}") for each in _ARRAYS}
    count = arrays["images"].shape[0] if arrays["images"].ndim else 0
    wanted = {"images": (count, SIDE, SIDE), "labels": (count, SIDE, SIDE, RATERS), "uids": (count,)}
    for each, shape in wanted.items():
        if arrays[each].shape != shape or not 0 < count <= MOST_PATCHES:
            found = " x ".join(map(str, arrays[each].shape)) or "a single value"
            raise HarnessError(f"expected {name}/{each} of {' x '.join(('N', *map(str, shape[1:])))}, found {found}")
    return arrays


def _own_array(archive: Any, name: str) -> Any:
    """Return the array *name*; raises HarnessError where there is none, or its data are in another file."""
    import h5py

    found = archive
    for step in name.split("/"):
        if not isinstance(found, h5py.Group) or not isinstance(found.get(step, getlink=True), h5py.HardLink):
            raise HarnessError(f"expected an array {name}, found none")
        found = found[step]
    if not isinstance(found, h5py.Dataset):
        raise HarnessError(f"expected an array {name}, found a group")
    if found.external or found.is_virtual:
        raise HarnessError(f"refused: the data of {name} are in another file")
    if prod(found.chunks or (_STEP,)) * found.dtype.itemsize > _MOST_AT_ONCE:
        raise HarnessError(f"refused: {name} has to be read in pieces of more than {_MOST_AT_ONCE:,} bytes")
    return found


def _pieces(name: str, group: dict[str, Any]) -> Iterator[_Piece]:
    for first in range(0, group["images"].shape[0], _STEP):
        piece = slice(first, first + _STEP)
        try:
            images = checked_images(group["images"][piece], offset=0.5)
            masks = packed_masks(group["labels"][piece].transpose(0, 3, 1, 2))
            uids = [checked_uid(uid) for uid in group["uids"][piece].tolist()]
        except HarnessError as error:
            last = min(first + _STEP, group["images"].shape[0])
            raise HarnessError(f"{name}, patches {first + 1} to {last}: {error}") from error
        yield images, masks, uids
