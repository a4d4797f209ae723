"""The patches of LIDC-IDRI as they are kept, and the checks that whatever archive they come from has to pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.errors import HarnessError
from harness.plugins.lidc.dicom_parts import LONGEST_UID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What github.com/RanWeisberg/prob-unet-consensus-selection (data/processed/lidc.json) found the published pickle to be:
# 3,413,798,199 bytes with this SHA-256; 2,626 patches were marked by three raters and 4,751 by four.
PUBLISHED, PUBLISHED_SERIES, PUBLISHED_POSITIVE = 15_096, 875, 7_377
PUBLISHED_SHA256 = "327025e97c296a9e02841bb7e9968521147039e9c5474ba3b214c1f8056c177e"
SIDE = 128
RATERS = 4
# More than any archive holds, so that a size that is a lie is found out before memory is taken.
MOST_PATCHES = 50_000
# What taking 0.5 away and adding it again can do to a number of 32 bits.
_ROUNDING = 1e-6


@frozen
class Patches:
    """Patches in the order of their archive.

    `images` `uint8 [N, 128, 128]`; `masks` `uint8 [N, 4, 128, 16]`, the four raters' marks, eight pixels in a byte
    (`numpy.unpackbits(masks, axis=-1)`); `uids` `bytes [N]` of the CT series that each is from, as the archive names
    it; `published_order` whether the order is that of the published pickle, which the paper's split was cut from;
    `source` the SHA-256 of the archive.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    uids: NDArray[np.bytes_]
    published_order: bool
    source: str

    def __len__(self) -> int:
        return len(self.images)


def is_published(source: str) -> bool:
    """Say whether *source* is the SHA-256 of the published pickle."""
    return source == PUBLISHED_SHA256


def checked_images(images: NDArray[Any], offset: float = 0.0) -> NDArray[np.uint8]:
    """Return *images* `float [..., 128, 128]` plus *offset*, from 0 to 1, as the nearest of 256 levels.

    Level 255 is 1; halfway goes to the even level (`numpy.rint`). Raises HarnessError for others.
    """
    import numpy as np

    if images.dtype.kind != "f":
        raise HarnessError(f"expected an image of floats from 0 to 1, found {images.dtype}")
    _check_shape("an image", images, (SIDE, SIDE))
    shifted = images.astype(np.float64) + offset
    low, high = shifted.min(), shifted.max()
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # NaN passes no comparison
        found = "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"
        raise HarnessError(f"expected an image of floats from 0 to 1, found {found}")
    levels: NDArray[np.uint8] = np.rint(shifted.clip(0, 1) * 255).astype(np.uint8)
    return levels


def packed_masks(masks: NDArray[Any]) -> NDArray[np.uint8]:
    """Return four raters' *masks* `[..., 4, 128, 128]` of 0 and 1, eight pixels in a byte.

    Raises HarnessError for others.
    """
    import numpy as np

    _check_shape("the raters' masks", masks, (RATERS, SIDE, SIDE))
    if masks.dtype.kind not in "biuf":
        raise HarnessError(f"expected masks of 0 and 1, found {masks.dtype}")
    values = masks.view(np.uint8) if masks.dtype.kind == "b" else masks  # a bool out of a file may be any byte
    other = (values != 0) & (values != 1)
    if other.any():
        raise HarnessError(f"expected masks of 0 and 1, found {values[other][0]:g}")
    return np.packbits(values != 0, axis=-1)


def checked_uid(uid: object) -> bytes:
    """Return the name of a series, text or a whole number, as bytes; raises HarnessError for what is none."""
    if isinstance(uid, bytes):
        uid = uid.decode("ascii", "replace")
    text = str(uid) if isinstance(uid, (str, int)) and not isinstance(uid, bool) else ""
    if not (0 < len(text) <= LONGEST_UID and text.isascii() and text.isprintable()):
        raise HarnessError(f"expected the UID of a series, text of 1 to {LONGEST_UID} characters, found another value")
    return text.encode()


def labels_of(masks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return `int64 [N]` for packed *masks*: 1 where three or four raters marked anything, else 0.

    The class of the paper (Selvan et al., NLDL 2025).
    """
    import numpy as np

    labels: NDArray[np.int64] = (masks.any(axis=(2, 3)).sum(axis=1) >= 3).astype(np.int64)
    return labels


def _check_shape(what: str, array: NDArray[Any], last: tuple[int, ...]) -> None:
    if array.shape[-len(last) :] != last:
        wanted, found = " x ".join(map(str, last)), " x ".join(map(str, array.shape)) or "a single number"
        raise HarnessError(f"expected {what} of {wanted}, found {found}")
